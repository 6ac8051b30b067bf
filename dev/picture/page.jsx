// Draws the dashboard on Grafana's grid by Grafana's components, once, and says so. Photographed by page.py.
import { dateTime, EventBusSrv, getFieldDisplayValues, rangeUtil, ThemeContext } from '@grafana/data';
import {
  BigValue,
  GlobalStyles,
  Icon,
  InlineLabel,
  PanelChrome,
  PanelContextProvider,
  Text,
  TimeSeries,
  VizRepeater,
} from '@grafana/ui';
import regular from '@fontsource/inter/files/inter-latin-400-normal.woff2';
import medium from '@fontsource/inter/files/inter-latin-500-normal.woff2';
import { createRoot } from 'react-dom/client';
import { framesOf, LEGEND, STAT, theme } from './grafana';

const CELL = 30;
const MARGIN = 8;
const COLUMN = (window.innerWidth - MARGIN) / 24;
const say = (words) => fetch('/said', { method: 'POST', body: words });
window.onerror = (message) => void say(String(message));
window.onunhandledrejection = (event) => void say(String(event.reason));

function Stat({ panel, frames, width, height }) {
  const options = { ...STAT, ...panel.options };
  const values = getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables: (text) => text,
    sparkline: options.graphMode !== 'none',
    theme,
    timeZone: 'browser',
  });
  const draw = ({ value, count, width, height }) => (
    <BigValue {...options} {...{ count, width, height, theme }} value={value.display} sparkline={value.sparkline} />
  );
  const sizes = { width, height, orientation: options.orientation };
  return <VizRepeater {...sizes} source={frames} getValues={() => values} renderValue={draw} />;
}

function Lines({ panel, frames, width, height, range }) {
  const legend = { ...LEGEND, ...panel.options.legend };
  const { options } = panel;
  return <TimeSeries {...{ frames, legend, options, width, height }} timeRange={range} timeZone="browser" />;
}

function Nothing({ panel, height }) {
  const text = panel.fieldConfig.defaults.noValue ?? 'No data';
  return <div style={{ height, display: 'grid', placeItems: 'center' }}>{text}</div>;
}

function Panel({ panel, answers, range, width, height }) {
  const frames = framesOf(panel, answers);
  const Content = frames.length === 0 ? Nothing : panel.type === 'stat' ? Stat : Lines;
  return (
    <PanelChrome {...{ width, height }} title={panel.title} description={panel.description}>
      {(width, height) => <Content {...{ panel, frames, range, width, height }} />}
    </PanelChrome>
  );
}

function Row({ panel }) {
  return (
    <Text element="h3" variant="h5">
      <Icon name="angle-down" /> {panel.title}
    </Text>
  );
}

function Placed({ panel, ...rest }) {
  const { x, y, w, h } = panel.gridPos;
  const width = Math.floor(w * COLUMN - MARGIN);
  const height = h * (CELL + MARGIN) - MARGIN;
  const left = MARGIN + Math.floor(x * COLUMN);
  const Content = panel.type === 'row' ? Row : Panel;
  return (
    <div style={{ position: 'absolute', left, top: y * (CELL + MARGIN), width, height }}>
      <Content {...{ panel, width, height }} {...rest} />
    </div>
  );
}

function Head({ dashboard, variables, range }) {
  const { from, to } = range;
  return (
    <div style={{ display: 'flex', gap: 8, padding: '12px 8px', alignItems: 'center' }}>
      <div style={{ flex: 1 }}>
        <Text element="h1" variant="h3">
          {dashboard.title}
        </Text>
      </div>
      {dashboard.templating.list.map(({ name, label }) => (
        <InlineLabel key={name} width="auto">
          {label}: {variables[name]}
        </InlineLabel>
      ))}
      <InlineLabel width="auto">{rangeUtil.describeTimeRange({ from, to }, 'browser')}</InlineLabel>
    </div>
  );
}

function Dashboard({ dashboard, variables, from, to, answers }) {
  const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ eventsScope: 'picture', eventBus: new EventBusSrv() }}>
        <Head {...{ dashboard, variables, range }} />
        <div style={{ position: 'relative' }}>
          {dashboard.panels.map((panel) => (
            <Placed key={panel.id} panel={panel} range={range} answers={answers[panel.id]} />
          ))}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

async function draw() {
  const picture = await (await fetch('picture.json')).json();
  for (const [weight, url] of Object.entries({ 400: regular, 500: medium })) {
    document.fonts.add(await new FontFace('Inter', `url(${url})`, { weight }).load());
  }
  const root = document.body.appendChild(document.createElement('div'));
  createRoot(root, { onUncaughtError: (error) => void say(String(error)) }).render(<Dashboard {...picture} />);
  requestAnimationFrame(() => setTimeout(() => void say('drawn'), 1000));
}

void draw();
