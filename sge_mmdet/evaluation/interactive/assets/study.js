'use strict';
// The page of a study: each run as a point, the differences with their
// intervals, and the curves of training.

function palette() {
  return ['accent', 'second', 'good', 'other', 'bad', 'muted'].map(colour);
}

const ofConfig = (i) => palette()[i % palette().length];

// Lines join the runs of a seed, which began alike.
function drawPoints(figure) {
  const names = content.configs.map(({ name }) => plain(name));
  const seeds = [...new Set(content.configs.flatMap(({ runs }) => runs.map(({ seed }) => seed)))];
  const value = (config, seed) => {
    const run = config.runs.find((one) => one.seed === seed);
    return run === undefined || run.figures[figure] === null ? null : 100 * run.figures[figure];
  };
  const traces = seeds.map((seed) => ({
    x: names, y: content.configs.map((config) => value(config, seed)), mode: 'lines+markers',
    text: names.map(() => `seed ${seed}`), showlegend: false, opacity: 0.7,
    line: { color: colour('muted'), width: 1 }, marker: { color: names.map((_, i) => ofConfig(i)), size: 9 },
  }));
  traces.push({
    x: names, mode: 'markers', name: 'mean', hoverinfo: 'y',
    y: content.configs.map((config) => {
      const values = seeds.map((seed) => value(config, seed)).filter((one) => one !== null);
      return values.length ? values.reduce((a, b) => a + b) / values.length : null;
    }),
    marker: { symbol: 'line-ew', size: 34, line: { width: 3, color: colour('text') } },
  });
  draw('points-plot', traces, { xaxis: { type: 'category' }, yaxis: { title: { text: `${figure}, in points` } } });
}

function drawDifferences(figure) {
  const rows = content.differences.filter((row) => row.figure === figure).reverse();
  draw('differences-plot', [{
    x: rows.map((row) => (row.difference === null ? null : 100 * row.difference)), y: rows.map((row) => plain(row.name)), mode: 'markers',
    marker: { color: colour('accent'), size: 9 },
    text: rows.map((row) => (row.low === null ? 'too few images to tell' : '')),
    error_x: {
      type: 'data', symmetric: false, color: colour('accent'),
      array: rows.map((row) => (row.high === null ? 0 : 100 * (row.high - row.difference))),
      arrayminus: rows.map((row) => (row.low === null ? 0 : 100 * (row.difference - row.low))),
    },
  }], {
    xaxis: { title: { text: `${figure} minus that of ${plain(content.configs[0].name)}, in points` }, zerolinecolor: colour('text') },
    yaxis: { type: 'category' }, showlegend: false,
  });
}

function drawCurves(quantity) {
  const traces = content.curves.filter((curve) => curve.quantity === quantity).map(({ config, seed, steps, values }, i, all) => ({
    x: steps, y: values, mode: 'lines', name: plain(content.configs[config].name), text: steps.map(() => `seed ${seed}`),
    line: { color: ofConfig(config), width: 1.5 }, legendgroup: String(config),
    showlegend: all.findIndex((curve) => curve.config === config) === i,
  }));
  draw('curves-plot', traces, { xaxis: { title: { text: 'training step' } }, yaxis: { title: { text: quantity } } });
}

function choice(parent, label, names, chosen, change) {
  const list = element('select', {}, ...names.map((name) => element('option', {}, name)));
  list.value = chosen;
  list.addEventListener('change', () => change(list.value));
  parent.append(element('label', {}, `${label} `, list));
}

function fill() {
  byId('summary').textContent = content.summary;
  const state = { figure: content.small, quantity: (content.curves[0] || {}).quantity };
  const points = section('points', 'Figures of each run', 'A point is a run; lines join the runs with a common seed; bars are means.');
  const differences = section('differences', 'Differences with their 95 % intervals', content.verdict);
  const both = () => { drawPoints(state.figure); drawDifferences(state.figure); };
  choice(points, 'Figure', content.figures, state.figure, (figure) => { state.figure = figure; both(); });
  plotIn(points, 'points-plot', 'Points of runs by config; the table of runs has them as numbers');
  plotIn(differences, 'differences-plot', 'Points with intervals, by config');
  const quantities = [...new Set(content.curves.map(({ quantity }) => quantity))];
  const curves = section('curves', 'Curves of training', quantities.length ? 'A line is a run.' : 'No run has a log of its training.', true);
  if (quantities.length) {
    choice(curves, 'Quantity', quantities, state.quantity, (quantity) => { state.quantity = quantity; drawCurves(quantity); });
    plotIn(curves, 'curves-plot', 'Curves of training by step');
  }
  const table = section('runs', 'Runs', 'A name leads to the report of the run, where one was written (--run-reports).', true);
  table.append(element('div', { class: 'scroll' }, plainTable(
    ['config', 'seed', ...content.figures],
    content.configs.flatMap(({ name, runs }) => runs.map(({ seed, figures, report }) => [
      report ? element('a', { href: report }, name) : name, seed, ...content.figures.map((figure) => figures[figure])])))));
  const redraw = () => {
    both();
    if (quantities.length) drawCurves(state.quantity);
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  redraw();
}

openPage(fill);
