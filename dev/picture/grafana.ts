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
  axisBorderShow: false, axisCenteredZero: false, axisColorMode: 'text', axisLabel: '', axisPlacement: 'auto',
  barAlignment: 0, drawStyle: 'line', fillOpacity: 0, gradientMode: 'none', hideFrom: { legend: false, tooltip: false, viz: false },
  lineInterpolation: 'linear', lineWidth: 1, pointSize: 5, scaleDistribution: { type: 'linear' }, showPoints: 'auto',
  spanNulls: false, stacking: { group: 'A', mode: 'none' }, thresholdsStyle: { mode: 'off' },
};
const DEFAULTS = {
  stat: { color: { mode: 'thresholds' }, thresholds: THRESHOLDS, custom: {} },
  timeseries: { color: { mode: 'palette-classic' }, thresholds: THRESHOLDS, custom: LINES },
};
export const STAT = { colorMode: 'value', graphMode: 'area', justifyMode: 'auto', orientation: 'auto', textMode: 'auto' };
export const LEGEND = { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: true };

const item = (id: string, isCustom = false) => ({
  id, path: id, isCustom, name: id, process: identityOverrideProcessor, shouldApply: () => true,
});
const PLAIN = ['displayName', 'unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings'];
const items = () => [
  ...PLAIN.map((id) => item(id)),
  ...Object.keys(LINES).map((path) => ({ ...item(path, true), id: `custom.${path}` })),
];
standardFieldConfigEditorRegistry.setInit(items as any);

/** The answers to a panel's queries as Grafana's frames, with units, colours and overrides. */
export function framesOf(panel: any, answers: any[]) {
  const given = panel.fieldConfig.defaults;
  const defaults = { ...DEFAULTS[panel.type as keyof typeof DEFAULTS], ...given };
  defaults.custom = { ...DEFAULTS[panel.type as keyof typeof DEFAULTS].custom, ...given.custom };
  defaults.thresholds = {
    ...defaults.thresholds,
    steps: defaults.thresholds.steps.map((step: any) => ({ ...step, value: step.value ?? -Infinity })),
  };
  return applyFieldOverrides({
    data: answers.flatMap((answer) => answer.series.map((series: any) => frameOf(answer, series))),
    fieldConfig: { defaults, overrides: panel.fieldConfig.overrides },
    replaceVariables: (text) => text,
    theme,
    timeZone: 'browser',
  });
}

function frameOf(answer: any, series: any) {
  const name = answer.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_: string, label: string) => series.metric[label] ?? '');
  return toDataFrame({
    refId: answer.refId,
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: answer.step * 1000 }, values: series.values.map(([t]: any) => t * 1000) },
      {
        name: 'Value', type: FieldType.number, labels: series.metric, config: name ? { displayNameFromDS: name } : {},
        values: series.values.map(([, text]: any) => (text === 'NaN' ? null : Number(text.replace('Inf', 'Infinity')))),
      },
    ],
  });
}
