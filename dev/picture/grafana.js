// What a Grafana server would add to the dashboard before it draws: the defaults of its panels and of their fields.
import {
  applyFieldOverrides,
  createTheme,
  FieldType,
  identityOverrideProcessor,
  standardFieldConfigEditorRegistry,
  toDataFrame,
} from '@grafana/data';

export const theme = createTheme({ colors: { mode: 'dark' } });

const THRESHOLDS = { mode: 'absolute', steps: [{ color: 'green', value: null }, { color: 'red', value: 80 }] };
const LINES = {
  axisBorderShow: false,
  axisCenteredZero: false,
  axisColorMode: 'text',
  axisLabel: '',
  axisPlacement: 'auto',
  axisSoftMax: undefined,
  barAlignment: 0,
  drawStyle: 'line',
  fillOpacity: 0,
  gradientMode: 'none',
  hideFrom: { legend: false, tooltip: false, viz: false },
  lineInterpolation: 'linear',
  lineStyle: { fill: 'solid' },
  lineWidth: 1,
  pointSize: 5,
  scaleDistribution: { type: 'linear' },
  showPoints: 'auto',
  spanNulls: false,
  stacking: { group: 'A', mode: 'none' },
  thresholdsStyle: { mode: 'off' },
};
const DEFAULTS = {
  stat: { color: { mode: 'thresholds' }, thresholds: THRESHOLDS, custom: {} },
  timeseries: { color: { mode: 'palette-classic' }, thresholds: THRESHOLDS, custom: LINES },
};
export const STAT = { colorMode: 'value', graphMode: 'area', orientation: 'auto', textMode: 'auto' };
export const LEGEND = { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: true };

const PLAIN = ['displayName', 'unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings'];
const setting = (id, path, isCustom) => ({
  id,
  path,
  isCustom,
  name: id,
  process: identityOverrideProcessor,
  shouldApply: () => true,
});
const SETTINGS = [
  ...PLAIN.map((path) => setting(path, path, false)),
  ...Object.keys(LINES).map((path) => setting(`custom.${path}`, path, true)),
];
standardFieldConfigEditorRegistry.setInit(() => SETTINGS);

/** The answers to a panel's queries as Grafana's frames, with units, colours and overrides. */
export function framesOf(panel, answers) {
  return applyFieldOverrides({
    data: answers.flatMap((answer) => answer.series.map((series) => frameOf(answer, series))),
    fieldConfig: { defaults: defaultsOf(panel), overrides: overridesOf(panel) },
    replaceVariables: (text) => text,
    theme,
    timeZone: 'browser',
  });
}

function defaultsOf({ type, fieldConfig }) {
  const defaults = { ...DEFAULTS[type], ...fieldConfig.defaults };
  const custom = { ...DEFAULTS[type].custom, ...fieldConfig.defaults.custom };
  const steps = defaults.thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return { ...defaults, custom, thresholds: { ...defaults.thresholds, steps } };
}

function overridesOf({ title, fieldConfig }) {
  for (const { id } of fieldConfig.overrides.flatMap((rule) => rule.properties)) {
    if (!SETTINGS.some((known) => known.id === id)) {
      throw new Error(`panel ${title}: an override of ${id} cannot be drawn`);
    }
  }
  return fieldConfig.overrides;
}

function frameOf({ legendFormat, refId, step }, { metric, values }) {
  const name = legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '');
  const times = values.map(([seconds]) => seconds * 1000);
  const numbers = values.map(([, text]) => (text === 'NaN' ? null : Number(text.replace('Inf', 'Infinity'))));
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: times },
      {
        name: 'Value',
        type: FieldType.number,
        labels: metric,
        config: name ? { displayNameFromDS: name } : {},
        values: numbers,
      },
    ],
  });
}
