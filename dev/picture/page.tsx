// Draws the dashboard on Grafana's grid by Grafana's components, once, and says so. Photographed by page.py.
import { dateTime, EventBusSrv, getFieldDisplayValues, rangeUtil, ThemeContext } from '@grafana/data';
import { BigValue, GlobalStyles, Icon, InlineLabel, PanelChrome, PanelContextProvider, Text, TimeSeries, VizRepeater } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { framesOf, LEGEND, STAT, theme } from './grafana';

const CELL = 30, MARGIN = 8, COLUMNS = 24;
const column = (window.innerWidth - MARGIN) / COLUMNS;
const say = (words: string) => fetch('/said', { method: 'POST', body: words });
window.onerror = (message) => void say(String(message));
window.onunhandledrejection = (event) => void say(String(event.reason));

function Stat({ panel, frames, width, height }: any) {
  const options = { ...STAT, ...panel.options };
  const values = getFieldDisplayValues({
    data: frames, fieldConfig: panel.fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: (text) => text,
    sparkline: options.graphMode !== 'none', theme, timeZone: 'browser',
  });
  return (
    <VizRepeater
      source={frames} getValues={() => values} renderCounter={0} width={width} height={height} orientation={options.orientation}
      renderValue={({ value, width, height, count }: any) => (
        <BigValue {...options} value={value.display} sparkline={value.sparkline} count={count} width={width} height={height} theme={theme} />
      )}
    />
  );
}

function Lines({ panel, frames, width, height, range }: any) {
  const legend = { ...LEGEND, ...panel.options.legend };
  return <TimeSeries frames={frames} legend={legend} options={panel.options} timeRange={range} timeZone="browser" width={width} height={height} />;
}

function Panel({ panel, answers, range, width, height }: any) {
  const frames = framesOf(panel, answers);
  const Drawn = panel.type === 'stat' ? Stat : Lines;
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(width, height) =>
        frames.length ? <Drawn {...{ panel, frames, range, width, height }} /> : <div style={{ height, display: 'grid', placeItems: 'center' }}>No data</div>
      }
    </PanelChrome>
  );
}

function Row({ title }: any) {
  return <Text element="h3" variant="h5"><Icon name="angle-down" /> {title}</Text>;
}

function Placed({ panel, ...rest }: any) {
  const { x, y, w, h } = panel.gridPos;
  const width = Math.floor(w * column - MARGIN), height = h * (CELL + MARGIN) - MARGIN;
  const place = { position: 'absolute', left: MARGIN + Math.floor(x * column), top: y * (CELL + MARGIN), width, height } as const;
  return <div style={place}>{panel.type === 'row' ? <Row {...panel} /> : <Panel {...{ panel, width, height }} {...rest} />}</div>;
}

function Head({ dashboard, variables, range }: any) {
  const { from, to } = range;
  return (
    <div style={{ display: 'flex', gap: 8, padding: '12px 8px', alignItems: 'center' }}>
      <div style={{ flex: 1 }}><Text element="h1" variant="h3">{dashboard.title}</Text></div>
      {dashboard.templating.list.map(({ name, label }: any) => (
        <InlineLabel key={name} width="auto">{label}: {variables[name]}</InlineLabel>
      ))}
      <InlineLabel width="auto">{rangeUtil.describeTimeRange({ from, to }, 'browser')}</InlineLabel>
    </div>
  );
}

function Dashboard({ dashboard, variables, from, to, answers }: any) {
  const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ eventsScope: 'picture', eventBus: new EventBusSrv() }}>
        <Head {...{ dashboard, variables, range }} />
        <div style={{ position: 'relative' }}>
          {dashboard.panels.map((panel: any) => <Placed key={panel.id} panel={panel} range={range} answers={answers[panel.id]} />)}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>
  );
}

async function draw() {
  const picture = await (await fetch('picture.json')).json();
  await Promise.all(['400', '500'].map((weight) => new FontFace('Inter', `url(public/fonts/inter/Inter-${weight === '400' ? 'Regular' : 'Medium'}.woff2)`, { weight }).load().then((face) => document.fonts.add(face))));
  const root = document.body.appendChild(document.createElement('div'));
  createRoot(root, { onUncaughtError: (error) => void say(String(error)) }).render(<Dashboard {...picture} />);
  requestAnimationFrame(() => setTimeout(() => void say('drawn'), 1000));
}

void draw();
