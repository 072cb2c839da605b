'use strict';
// What the page shows is computed here from the columns, for the filters that
// are set, from what outcomes.py finds. The tests count the same in Python.

const MOST_ROWS = 200;
const MOST_OPTIONS = 2000;
const MOST_POINTS = 400;
const PIECES = 48;
const MOST_CLASSES = 12;
const CALIBRATION_BINS = 10;
// Bins with fewer detections say little. As in the pictures of plots/.
const FEW = 10;

const classNumber = new Map(content.classes.map((name, i) => [name, i]));
const detectors = content.detectors.map((_, i) => i);
const isPair = detectors.length === 2;
const [HIT, NEAR, OTHER, MISSED] = [0, 1, 2, 3];
const IGNORED = content.detectionKinds.indexOf('ignored');
const state = {
  low: 0, high: Infinity, category: -1, score: content.score,
  mode: 'score', precision: 0.5, shown: PIECES, order: 'as chosen',
  kinds: new Set(),
};

// Names of detectors in plots.
const plotNames = content.detectors.map(plain);
const detectorColours = () => [colour('accent'), colour('second')];

// ---- Counting ----

// A view is what the filters of size and class leave.
function inView(area, category) {
  const low = Math.fround(state.low ** 2);
  const high = Math.fround(state.high ** 2);
  const chosen = state.category;
  return (i) => area[i] >= low && area[i] <= high && (chosen < 0 || category[i] === chosen);
}

function objectKind({ hit, near, other }, i, least) {
  if (hit[i] >= least) return HIT;
  if (near[i] >= least) return NEAR;
  return other[i] >= least ? OTHER : MISSED;
}

const objectScores = (d) => ({
  hit: columns[`hit_score_${d}`], near: columns[`near_score_${d}`], other: columns[`class_score_${d}`],
});

function objectsInView() {
  const isIn = inView(columns.object_area, columns.object_class);
  const chosen = [];
  for (let i = 0; i < columns.object_area.length; i++) if (isIn(i)) chosen.push(i);
  return chosen;
}

// Goes through the detections in view once, by descending score: precision
// over recall, how well scores tell the precision, the lowest score of a
// precision, and numbers by kind up to each score of the curve.
function sweep(d, objects) {
  const score = columns[`score_${d}`];
  const kind = columns[`kind_${d}`];
  const partner = columns[`partner_${d}`];
  const own = inView(columns[`area_${d}`], columns[`class_${d}`]);
  const object = inView(columns.object_area, columns.object_class);
  const step = Math.ceil(score.length / MOST_POINTS);
  const points = [];
  const bins = Array.from({ length: CALIBRATION_BINS }, () => ({ n: 0, hits: 0, scores: 0 }));
  let [hits, all, threshold, next] = [0, 0, null, 0];
  for (let i = 0; i < score.length; i++) {
    const k = kind[i];
    // A hit belongs to its object.
    if (k !== IGNORED && (k === HIT ? object(partner[i]) : own(i))) {
      all += 1;
      const bin = bins[Math.max(0, Math.min(CALIBRATION_BINS - 1, Math.floor(score[i] * CALIBRATION_BINS)))];
      bin.n += 1;
      bin.scores += score[i];
      if (k === HIT) {
        hits += 1;
        bin.hits += 1;
      }
    }
    if (all && (i + 1 === score.length || score[i + 1] !== score[i])) {
      if (hits / all >= state.precision) threshold = score[i];
      if (i >= next || i + 1 === score.length) {
        points.push([objects ? hits / objects : 0, hits / all, score[i]]);
        next = i + step;
      }
    }
  }
  return { points, bins, threshold };
}

function countObjects(d, objects, least) {
  const counts = new Array(content.objectKinds.length).fill(0);
  const scores = objectScores(d);
  for (const i of objects) counts[objectKind(scores, i, least)] += 1;
  return counts;
}

function countDetections(d, least) {
  const counts = new Array(content.detectionKinds.length).fill(0);
  const score = columns[`score_${d}`];
  const kind = columns[`kind_${d}`];
  const partner = columns[`partner_${d}`];
  const own = inView(columns[`area_${d}`], columns[`class_${d}`]);
  const object = inView(columns.object_area, columns.object_class);
  for (let i = 0; i < score.length && score[i] >= least; i++) {
    if (kind[i] === HIT ? object(partner[i]) : own(i)) counts[kind[i]] += 1;
  }
  return counts;
}

function thresholds(sweeps) {
  if (state.mode === 'score') return detectors.map(() => Math.fround(state.score));
  // Without a threshold of that precision nothing counts.
  return sweeps.map(({ threshold }) => (threshold === null ? Infinity : threshold));
}

// ---- Exact test of gains and losses ----

function logFactorials(most) {
  const values = new Float64Array(most + 1);
  for (let i = 2; i <= most; i++) values[i] = values[i - 1] + Math.log(i);
  return values;
}

function signFlip(differences) {
  const counts = new Map();
  let total = 0;
  for (const difference of differences) {
    total += difference;
    const size = Math.abs(difference);
    if (size) counts.set(size, (counts.get(size) || 0) + 1);
  }
  let distribution = new Float64Array([1]);
  let reach = 0;
  for (const [size, count] of [...counts].sort((a, b) => b[0] - a[0])) {
    const logs = logFactorials(count);
    const next = new Float64Array(distribution.length + 2 * size * count);
    for (let k = 0; k <= count; k++) {
      const share = Math.exp(logs[count] - logs[k] - logs[count - k] - count * Math.LN2);
      if (share < 1e-18) continue;
      for (let i = 0; i < distribution.length; i++) next[i + 2 * size * k] += share * distribution[i];
    }
    distribution = next;
    reach += size * count;
  }
  let p = 0;
  distribution.forEach((share, i) => {
    if (Math.abs(i - reach) >= Math.abs(total)) p += share;
  });
  return Math.min(p, 1);
}

// Sums of rounded shares say no more about smaller values.
const showP = (p) => (p < 1e-12 ? '< 1e-12' : p.toPrecision(3));

function exchange(objects, least) {
  const byCluster = new Map();
  let [gained, lost] = [0, 0];
  for (const i of objects) {
    const change = (columns.hit_score_1[i] >= least[1]) - (columns.hit_score_0[i] >= least[0]);
    if (!change) continue;
    if (change > 0) gained += 1; else lost += 1;
    const image = columns.object_image[i];
    const cluster = columns.group ? columns.group[image] : image;
    byCluster.set(cluster, (byCluster.get(cluster) || 0) + change);
  }
  return { gained, lost, clusters: byCluster.size, p: signFlip(byCluster.values()) };
}

// ---- Panels ----

const panels = [];

const WORDS = {
  object: 'An object of the ground truth that is not marked as a crowd.',
  'overlap (IoU)': 'The area that two boxes or masks share, divided by the area that they cover together: 0 if they are apart, 1 if they are equal.',
  hit: 'The object has a detection of its class that overlaps it by 0.5 or more. A detection hits one object at most, and an object is hit once; higher scores choose first.',
  localisation: 'An object that is not hit, but a detection of its class overlaps it by 0.1 or more; or such a detection that hits nothing.',
  class: 'An object that is not hit, but a detection of another class overlaps it by 0.5 or more; or such a detection.',
  missed: 'An object that is not hit and has no such detection.',
  duplicate: 'A detection of an object that a detection with a higher score hits.',
  background: 'A detection that hits nothing and has no such overlap with any object.',
  precision: 'The share of detections that are hits. Detections of crowds do not count.',
  recall: 'The share of objects that are hit.',
  F1: 'The harmonic mean of precision and recall.',
  'AP, AP50, AP75': 'Average precision: the mean of the precision over all recalls. AP50 counts hits from an overlap of 0.5 on, AP75 from 0.75 on, and AP is the mean from 0.5 to 0.95.',
  AR: 'Average recall: the mean of the largest recall over overlaps from 0.5 to 0.95.',
  size: 'The square root of the area, in pixels. An object on the limit of two ranges counts in both.',
};

function words() {
  return element('details', {}, element('summary', {}, 'What the words mean'), element(
    'dl', {}, ...Object.entries(WORDS).flatMap(([word, text]) => [element('dt', {}, word), element('dd', {}, text)])));
}

function addCounts() {
  const made = section(
    'counts', 'Objects and detections at the threshold',
    'A detection hits an object of its class at an overlap (IoU) of 0.5 or more. Numbers are of the sizes and the class that are chosen above.'
    + (content.scoreNote ? ` The page begins with ${content.scoreNote}.` : ''));
  made.append(words());
  const holder = element('div', { class: 'scroll' });
  made.append(holder);
  panels.push(({ objects, least, kinds, found, falses }) => {
    const header = ['', ...content.detectors];
    const hits = kinds.map((counts) => counts[HIT]);
    const precision = detectors.map((d) => hits[d] / (hits[d] + falses[d]));
    const recall = hits.map((n) => n / objects.length);
    const rows = [
      ['lowest score', ...least.map((value) => (value === Infinity ? 'not reached' : show(value)))],
      ['objects', ...detectors.map(() => objects.length)],
      ...content.objectKinds.map((kind, k) => [`- ${kind}`, ...kinds.map((counts) => counts[k])]),
      ['false detections', ...falses],
      ...content.detectionKinds.slice(1, IGNORED).map(
        (kind, k) => [`- ${kind}`, ...found.map((counts) => counts[k + 1])]),
      ['precision', ...precision],
      ['recall', ...recall],
      ['F1', ...detectors.map((d) => (2 * hits[d]) / (hits[d] + falses[d] + objects.length))],
    ];
    holder.replaceChildren(plainTable(header, rows));
  });
}

function addErrors() {
  const made = section('errors', 'What became of the objects', '');
  plotIn(made, 'errors-plot', 'Bars of objects by what became of them; the same numbers stand in the table of counts');
  panels.push(({ kinds }) => {
    const names = [...content.objectKinds];
    draw('errors-plot', detectors.map((d) => ({
      type: 'bar', name: plotNames[d], x: names,
      y: kinds[d],
      marker: { color: isPair ? detectorColours()[d] : [colour('good'), colour('other'), colour('second'), colour('bad')] },
    })), { showlegend: isPair, yaxis: { title: { text: 'objects' } } });
  });
}

function addSizes() {
  const made = section(
    'sizes', 'Average precision over object size',
    'As COCO computes it, for the chosen class or as the mean over classes; the bars are the numbers of objects of all classes. '
    + 'The limits of sizes are in pixels.');
  plotIn(made, 'sizes-plot', 'Curves of AP, AP50 and AR over object size; the table of figures by size has them as numbers');
  panels.push(() => {
    const labels = content.curve.map(({ label }) => label);
    const mean = (values) => values.length ? values.reduce((a, b) => a + b) / values.length : null;
    const traces = ['AP50', 'AP', 'AR'].map((name, n) => ({
      name, x: labels, mode: 'lines+markers', connectgaps: false,
      line: { color: [colour('second'), colour('accent'), colour('good')][n] },
      y: labels.map((_, s) => {
        const values = [];
        for (let k = 0; k < content.classes.length; k++) {
          const value = columns[`curve_${name}`][k * labels.length + s];
          if (value >= 0 && (state.category < 0 || k === state.category)) values.push(value);
        }
        return mean(values);
      }),
    }));
    traces.unshift({
      type: 'bar', name: 'objects', x: labels, y: content.curve.map(({ objects }) => objects),
      yaxis: 'y2', marker: { color: colour('line') },
    });
    draw('sizes-plot', traces, {
      xaxis: { type: 'category', title: { text: 'square root of the area, in pixels' } },
      yaxis: { range: [0, 1.02], tickvals: [0, 0.2, 0.4, 0.6, 0.8, 1], overlaying: 'y2', side: 'left' },
      yaxis2: { side: 'right', rangemode: 'tozero', showgrid: false, automargin: true, title: { text: 'objects' } },
    });
  });
}

function addPrecision() {
  const made = section(
    'precision', 'Precision over recall',
    'All chosen objects together, at an overlap of 0.5. The dot is the threshold that is set above.');
  plotIn(made, 'precision-plot', 'Curve of precision over recall');
  panels.push(({ objects, sweeps, least, kinds, falses }) => {
    const colours = detectorColours();
    const traces = [];
    for (const d of detectors) {
      const { points } = sweeps[d];
      traces.push({
        name: plotNames[d], x: points.map((p) => p[0]), y: points.map((p) => p[1]),
        text: points.map((p) => `score ${show(p[2])}`), mode: 'lines', line: { color: colours[d] },
      });
      const hits = kinds[d][HIT];
      // As in the table; the curve has only some of the points.
      if (objects.length && hits + falses[d]) {
        traces.push({
          x: [hits / objects.length], y: [hits / (hits + falses[d])], mode: 'markers', showlegend: false,
          marker: { color: colours[d], size: 11 }, text: [`score ${show(least[d])}`],
        });
      }
    }
    draw('precision-plot', traces, {
      showlegend: isPair,
      xaxis: { range: [0, 1.02], title: { text: 'recall' } }, yaxis: { range: [0, 1.02], title: { text: 'precision' } },
    });
  });
}

function addCalibration() {
  const made = section(
    'calibration', 'Precision over score',
    'If half of the detections with a score of 0.5 are hits, and so on, the curve lies on the dashed line. Below it, scores are too high. '
    + `The bars are the numbers of detections. Hollow points have fewer than ${FEW} and say little.`);
  plotIn(made, 'calibration-plot', 'Curve of precision over score, and bars of the numbers of detections');
  panels.push(({ sweeps }) => {
    const traces = detectors.flatMap((d) => calibrationTraces(plotNames[d], detectorColours()[d], sweeps[d].bins));
    traces.push({
      x: [0, 1], y: [0, 1], mode: 'lines', showlegend: false, hoverinfo: 'skip',
      line: { dash: 'dash', color: colour('muted') },
    });
    const most = Math.max(1, ...sweeps.flatMap(({ bins }) => bins.map(({ n }) => n)));
    draw('calibration-plot', traces, {
      showlegend: isPair,
      xaxis: { range: [0, 1.02], anchor: 'y2', title: { text: 'score' } },
      // Points at 0 and 1 are whole.
      yaxis: { range: [-0.03, 1.03], domain: [0.36, 1], title: { text: 'precision' } },
      yaxis2: {
        type: 'log', domain: [0, 0.28], range: [Math.log10(0.5), Math.log10(2 * most)], dtick: 1,
        gridcolor: colour('line'), automargin: true, title: { text: 'detections' },
      },
    });
  });
}

function calibrationTraces(name, colour, bins) {
  const filled = bins.filter(({ n }) => n);
  const points = (isShown) => ({
    name, x: filled.map(({ scores, n }) => scores / n),
    y: filled.map(({ hits, n }) => (isShown(n) ? hits / n : null)),
    text: filled.map(({ n }) => `${n} detections`),
  });
  return [
    { ...points((n) => n >= FEW), mode: 'lines+markers', connectgaps: false, line: { color: colour } },
    { ...points((n) => n < FEW), mode: 'markers', showlegend: false, marker: { color: colour, symbol: 'circle-open' } },
    {
      name, type: 'bar', yaxis: 'y2', showlegend: false, marker: { color: colour }, hovertemplate: '%{y} detections',
      x: bins.map((_, i) => (i + 0.5) / CALIBRATION_BINS), y: bins.map(({ n }) => n),
    },
  ];
}

function addConfusion() {
  const made = section(
    'confusion', 'Which class objects were taken for',
    'Rows are the classes of objects, columns what a detection on them says. The most frequent classes in view are shown.');
  const holder = element('div', { class: 'scroll' });
  const note = element('p', {});
  made.append(holder, note);
  panels.push(({ objects, least }) => {
    const cells = new Map();
    const totals = new Map();
    const { hit, other } = objectScores(0);
    for (const i of objects) {
      const truth = columns.object_class[i];
      let said = 'missed';
      if (hit[i] >= least[0]) said = truth;
      else if (other[i] >= least[0]) said = columns.class_of_0[i];
      const key = `${truth} ${said}`;
      cells.set(key, (cells.get(key) || 0) + 1);
      totals.set(truth, (totals.get(truth) || 0) + 1);
    }
    const rows = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a)).slice(0, MOST_CLASSES);
    const names = [...rows];
    for (const key of cells.keys()) {
      const [truth, said] = key.split(' ');
      if (said !== 'missed' && rows.includes(Number(truth)) && !names.includes(Number(said))) names.push(Number(said));
    }
    const shown = names.slice(0, 2 * MOST_CLASSES);
    const rest = names.slice(2 * MOST_CLASSES);
    const count = (truth, said) => cells.get(`${truth} ${said}`) || 0;
    const sum = (truth) => rest.reduce((total, said) => total + count(truth, said), 0);
    holder.replaceChildren(plainTable(
      ['object', ...shown.map((k) => content.classes[k]), ...(rest.length ? [`${rest.length} other`] : []), 'missed', 'objects'],
      rows.map((truth) => [
        content.classes[truth], ...shown.map((k) => count(truth, k)), ...(rest.length ? [sum(truth)] : []),
        count(truth, 'missed'), totals.get(truth)])));
    note.textContent = rows.length < totals.size ? `The other ${totals.size - rows.length} classes in view are left out.` : '';
  });
}

function addDifferences() {
  const made = section('differences', 'Differences with their 95 % intervals', content.verdict, true);
  plotIn(made, 'differences-plot', 'Points with intervals; the table of figures by size has them as numbers');
  panels.push(() => {
    const rows = [...content.differences].reverse();
    const points = (x) => (x === null ? null : 100 * x);
    draw('differences-plot', [{
      x: rows.map((row) => points(row.difference)), y: rows.map((row) => plain(row.name)), mode: 'markers',
      marker: { color: colour('accent'), size: 9 },
      error_x: {
        type: 'data', symmetric: false, color: colour('accent'),
        array: rows.map((row) => (row.high === null ? 0 : points(row.high - row.difference))),
        arrayminus: rows.map((row) => (row.low === null ? 0 : points(row.difference - row.low))),
      },
      text: rows.map((row) => (row.low === null ? 'too few images to tell' : '')),
    }], {
      xaxis: { title: { text: `${plotNames[1]} minus ${plotNames[0]}, in points` }, zeroline: true, zerolinecolor: colour('text') },
      yaxis: { type: 'category' }, showlegend: false,
    });
  });
}

function addExchange() {
  const [first, second] = content.detectors;
  const unit = columns.group ? 'group of images' : 'image';
  const each = columns.group ? 'no group' : 'no image';
  const made = section(
    'exchange', 'Objects gained and lost',
    `Gained: ${second} hits the object and ${first} does not. Lost: the reverse. p is the probability of a `
    + `difference at least as large if the gains and losses of each ${unit} were swapped at random; below 0.05 it is hardly chance. The test `
    + `is exact. If ${each} has more than one such object, it is McNemar's test.`, true);
  plotIn(made, 'exchange-plot', 'Bars of gained and lost objects by size; the same numbers stand in the table below');
  const holder = element('div', { class: 'scroll' });
  made.append(holder);
  panels.push(({ objects, least }) => {
    const sizes = [{ name: 'in view', low: 0, high: null }, ...content.bins.slice(1)];
    const rows = sizes.map((bin) => {
      const from = Math.fround(bin.low ** 2);
      const to = bin.high === null ? Infinity : Math.fround(bin.high ** 2);
      const chosen = objects.filter((i) => columns.object_area[i] >= from && columns.object_area[i] <= to);
      return { name: bin.name, objects: chosen.length, ...exchange(chosen, least) };
    });
    holder.replaceChildren(plainTable(
      ['size', 'objects', 'gained', 'lost', columns.group ? 'groups' : 'images', 'p'],
      rows.map((row) => [row.name, row.objects, row.gained, row.lost, row.clusters,
        row.clusters ? showP(row.p) : 'n/a'])));
    const bars = rows.slice(1);
    draw('exchange-plot', [
      { type: 'bar', name: 'gained', x: bars.map((row) => plain(row.name)), y: bars.map((row) => row.gained), marker: { color: colour('good') } },
      { type: 'bar', name: 'lost', x: bars.map((row) => plain(row.name)), y: bars.map((row) => -row.lost), marker: { color: colour('bad') } },
    ], { barmode: 'relative', yaxis: { title: { text: 'objects' } }, xaxis: { type: 'category' } });
  });
}

const collator = new Intl.Collator(undefined, { numeric: true });

// Differences are texts with a sign, such as "+1.2".
function compareCells(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? collator.compare(a, b) : difference;
}

function addTable(id, title, { header, rows }, chooses) {
  const made = section(id, title, '', true);
  const holder = element('div', { class: 'scroll' });
  const search = element('input', { type: 'search', placeholder: 'part of a name', 'aria-label': `Search in ${title}` });
  const note = element('p', { class: 'note', role: 'status' });
  if (rows.length > 12) made.append(search);
  made.append(holder, note);
  let sorted = { column: -1, isDown: false };
  const fill = () => {
    const wanted = search.value.toLowerCase();
    let shown = rows.filter((row) => String(row[0]).toLowerCase().includes(wanted));
    if (sorted.column >= 0) {
      const side = sorted.isDown ? -1 : 1;
      const value = (row) => row[sorted.column];
      // Rows without a figure come last, whichever way.
      shown = [...shown].sort((a, b) => (value(a) === null) - (value(b) === null)
        || side * compareCells(value(a), value(b)));
    }
    note.textContent = shown.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${shown.length} rows; search or sort for the others.` : '';
    const head = header.map((name, column) => element(
      'th', { scope: 'col', 'aria-sort': sorted.column === column ? (sorted.isDown ? 'descending' : 'ascending') : 'none' },
      element('button', {
        type: 'button',
        onclick: () => {
          sorted = { column, isDown: sorted.column === column ? !sorted.isDown : column > 0 };
          fill();
          holder.querySelectorAll('th button')[column].focus();
        },
      }, `${name}${sorted.column === column ? (sorted.isDown ? ' ▼' : ' ▲') : ''}`)));
    const body = shown.slice(0, MOST_ROWS).map((row) => {
      const number = chooses ? classNumber.get(row[0]) : undefined;
      const first = number === undefined ? show(row[0]) : element(
        'button', { type: 'button', title: 'Choose this class', onclick: () => chooseClass(row[0]) }, row[0]);
      return element(
        'tr', { class: number !== undefined && number === state.category ? 'chosen' : '' },
        element('td', {}, first), ...row.slice(1).map((cell) => element('td', {}, show(cell))));
    });
    holder.replaceChildren(element(
      'table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...body)));
  };
  search.addEventListener('input', fill);
  fill();
  if (chooses) panels.push(fill);
}

// ---- Gallery ----

function galleryKinds() {
  if (isPair) return ['gained', 'lost', 'both hit', 'both missed'];
  return [...content.objectKinds.map((kind) => (kind === 'hit' ? 'hit' : kind === 'missed' ? 'missed' : `missed: ${kind}`)),
    ...content.detectionKinds.slice(1, IGNORED).map((kind) => `false: ${kind}`)];
}

function kindOf(item, least) {
  const kinds = galleryKinds();
  if (isPair) {
    const [a, b] = detectors.map((d) => columns[`hit_score_${d}`][item.index] >= least[d]);
    return kinds[a ? (b ? 2 : 1) : (b ? 0 : 3)];
  }
  if (item.object) return kinds[objectKind(objectScores(0), item.index, least[0])];
  if (columns.score_0[item.index] < least[0]) return null;
  return kinds[content.objectKinds.length - 1 + columns.kind_0[item.index]];
}

const areaOf = (item) => (item.object ? columns.object_area : columns.area_0)[item.index];
const classOf = (item) => content.classes[(item.object ? columns.object_class : columns.class_0)[item.index]];
const imageOf = (item) => (item.object ? columns.object_image : columns.image_0)[item.index];
const scoreOf = (item) => (item.object
  ? Math.max(...detectors.map((d) => columns[`hit_score_${d}`][item.index])) : columns.score_0[item.index]);

// An object that is missed at the threshold may be hit at a lower one.
function captionOfScore(item, least) {
  const score = scoreOf(item);
  if (score === -Infinity) return '';
  const isBelow = item.object && detectors.every((d) => columns[`hit_score_${d}`][item.index] < least[d]);
  return isBelow ? `, hit if the threshold is ${show(score)} or less` : `, score ${show(score)}`;
}

const boxesByImage = {};

// Boxes of what lies in the images of the gallery, by image.
function boxesOf(name, image, images) {
  if (!boxesByImage[name]) {
    const found = new Map();
    columns[`boxed_${name}`].forEach((index, i) => {
      const key = images[index];
      if (!found.has(key)) found.set(key, []);
      found.get(key).push({ index, box: columns[`boxes_${name}`].subarray(4 * i, 4 * i + 4) });
    });
    boxesByImage[name] = found;
  }
  return boxesByImage[name].get(image) || [];
}

function view(item, d, least, isWhole) {
  const picture = content.pictures[imageOf(item)];
  const [x, y, w, h] = isWhole ? [0, 0, ...picture.size] : item.window;
  const label = `${classOf(item)}, ${Math.sqrt(areaOf(item)).toFixed(0)} pixels`;
  const made = drawn('svg', { viewBox: `${x} ${y} ${w} ${h}`, role: 'img', 'aria-label': label });
  made.append(drawn('image', { href: isWhole ? picture.link : item.source, x, y, width: w, height: h, preserveAspectRatio: 'none' }));
  made.firstChild.addEventListener('error', isWhole ? sayThatImageIsMissing : sayThatPiecesAreMissing);
  if (isWhole) {
    // The piece is in the file in any case.
    if (picture.isAsStored) made.firstChild.style.imageOrientation = 'none';
    const [px, py, pw, ph] = item.window;
    made.append(drawn('image', { href: item.source, x: px, y: py, width: pw, height: ph, preserveAspectRatio: 'none' }));
  }
  const frame = (box, stroke, isMain, dash) => {
    const isOutside = box[0] > x + w || box[1] > y + h || box[0] + box[2] < x || box[1] + box[3] < y;
    if (isOutside) return;
    made.append(drawn('rect', {
      x: box[0], y: box[1], width: box[2], height: box[3], fill: 'none', stroke,
      'stroke-width': isMain ? 2.5 : 1.2, 'stroke-dasharray': dash, 'vector-effect': 'non-scaling-stroke',
    }));
  };
  for (const { index, box } of boxesOf('object', imageOf(item), columns.object_image)) {
    frame(box, '#ffffff', item.object && index === item.index, 'none');
    frame(box, '#000000', false, '1 3');
  }
  for (const { index, box } of boxesOf(`detection_${d}`, imageOf(item), columns[`image_${d}`])) {
    if (columns[`score_${d}`][index] < least[d]) continue;
    const isHit = columns[`kind_${d}`][index] === HIT;
    frame(box, isHit ? '#2da44e' : '#ff3b30', !item.object && index === item.index, '5 3');
  }
  const holder = element('span', { class: 'view' }, made);
  if (isPair) holder.append(element('span', { class: 'caption' }, content.detectors[d]));
  return holder;
}

// A colleague may have got the file alone.
function sayThatImageIsMissing() {
  byId('zoom-missing').textContent = 'The whole image does not lie where it was when this file was written, so only the piece around the object is shown.';
}

function sayThatPiecesAreMissing() {
  byId('gallery-missing').textContent = 'Some pictures lie in the folder report_crops, which is not beside this file.';
}

function addGallery() {
  const made = section(
    'pictures', isPair ? 'Objects side by side' : 'Objects and false detections',
    'White: objects. Green: detections that hit an object. Red: false detections. A click on a picture opens the whole image, if it lies where it was when this file was written.', true);
  const bar = element('div', { class: 'kinds', role: 'group', 'aria-label': 'Kinds' });
  for (const kind of galleryKinds()) {
    const box = element('input', { type: 'checkbox', value: kind });
    box.checked = kind !== 'hit' && !kind.startsWith('both');
    if (box.checked) state.kinds.add(kind);
    box.addEventListener('change', () => {
      if (box.checked) state.kinds.add(kind); else state.kinds.delete(kind);
      update();
    });
    bar.append(element('label', {}, box, ` ${kind}`));
  }
  const order = element('select', { 'aria-label': 'Order' }, ...['as chosen', 'smallest first', 'largest first', 'highest score first'].map(
    (name) => element('option', {}, name)));
  order.addEventListener('change', () => { state.order = order.value; update(); });
  bar.append(element('label', {}, 'Order ', order));
  const status = element('p', { class: 'note', role: 'status', id: 'gallery-status' });
  const missing = element('p', { class: 'note', role: 'status', id: 'gallery-missing' });
  const grid = element('div', { id: 'gallery', class: isPair ? 'pairs' : '' });
  const more = element('button', { type: 'button', id: 'more', onclick: () => { state.shown += PIECES; update(true); } }, 'Show more');
  for (const note of content.notes) made.append(element('p', { class: 'note' }, note));
  made.append(bar, status, missing, grid, more);
  panels.push(({ least }) => {
    const inObjects = inView(columns.object_area, columns.object_class);
    const inDetections = inView(columns.area_0, columns.class_0);
    const members = content.items.filter((item) => {
      if (!(item.object ? inObjects(item.index) : inDetections(item.index))) return false;
      return state.kinds.has(kindOf(item, least));
    });
    const side = { 'smallest first': (a, b) => areaOf(a) - areaOf(b), 'largest first': (a, b) => areaOf(b) - areaOf(a), 'highest score first': (a, b) => scoreOf(b) - scoreOf(a) }[state.order];
    if (side) members.sort(side);
    status.textContent = `${Math.min(state.shown, members.length)} of ${members.length} pictures of these kinds, sizes and classes`;
    more.hidden = members.length <= state.shown;
    grid.replaceChildren(...members.slice(0, state.shown).map((item) => element(
      'button', { type: 'button', class: 'crop', onclick: () => zoom(item, least) },
      element('span', { class: 'views' }, ...detectors.map((d) => view(item, d, least, false))),
      element('span', { class: 'caption' }, element('b', {}, kindOf(item, least)),
        ` ${classOf(item)}, ${Math.sqrt(areaOf(item)).toFixed(0)} px`,
        captionOfScore(item, least)))));
  });
}

function zoom(item, least) {
  const picture = content.pictures[imageOf(item)];
  byId('zoom-title').textContent = `${picture.name}: ${kindOf(item, least)}, ${classOf(item)}`;
  byId('zoom-missing').textContent = '';
  byId('zoom-image').replaceChildren(...detectors.map((d) => view(item, d, least, true)));
  byId('zoom').showModal();
}

// ---- Controls ----

function chooseClass(name) {
  byId('class').value = content.classes[state.category] === name ? '' : name;
  readControls();
}

// Scores need not lie in [0, 1]; those of some detectors are logits.
function rangeOf(mode) {
  if (mode !== 'score') return { min: 0, max: 1, step: 0.01 };
  const scores = detectors.map((d) => columns[`score_${d}`]).filter(({ length }) => length);
  const min = Math.floor(Math.min(0, content.score, ...scores.map((score) => score[score.length - 1])));
  const max = Math.ceil(Math.max(1, content.score, ...scores.map((score) => score[0])));
  return { min, max, step: max - min > 10 ? 0.01 : 0.001 };
}

// Where the slider stands for the score that the page begins with. That score
// may have more digits than the slider has steps, and hits may depend on them.
let firstPlace;

function chosenThreshold() {
  const { value } = byId('threshold');
  return state.mode === 'score' && value === firstPlace ? content.score : Number(value);
}

const shownThreshold = () => state[state.mode].toFixed(state.mode === 'score' ? 3 : 2);

function addThreshold() {
  const holder = byId('thresholds');
  const mode = element('select', { id: 'mode', 'aria-label': 'Threshold' },
    element('option', { value: 'score' }, 'same score'), element('option', { value: 'precision' }, 'equal precision'));
  mode.addEventListener('change', readControls);
  if (isPair) holder.append(element('label', {}, 'At ', mode));
  const value = element('output', { id: 'threshold-value', for: 'threshold' });
  const slider = element('input', { id: 'threshold', type: 'range', ...rangeOf('score'), value: content.score });
  firstPlace = slider.value;
  slider.addEventListener('input', readControls);
  holder.append(element('label', {}, element('span', { id: 'threshold-name' }, 'Score from'), ' ', slider, ' ', value));
}

function fillControls() {
  const size = byId('size');
  for (const bin of content.bins) size.append(element('option', {}, bin.name));
  size.append(element('option', { value: '' }, 'other'));
  size.addEventListener('change', () => {
    const bin = content.bins[size.selectedIndex];
    if (!bin) return;
    byId('low').value = bin.low || '';
    byId('high').value = bin.high === null ? '' : bin.high;
    readControls();
  });
  for (const id of ['low', 'high', 'class']) {
    byId(id).addEventListener('input', readControls);
  }
  const frequent = new Map();
  for (const k of columns.object_class) frequent.set(k, (frequent.get(k) || 0) + 1);
  const offered = [...frequent.keys()].sort((a, b) => frequent.get(b) - frequent.get(a)).slice(0, MOST_OPTIONS);
  byId('classes').append(...offered.map((k) => element('option', { value: content.classes[k] })));
  addThreshold();
  const form = byId('controls');
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(() => {
    state.precision = 0.5;
    Object.assign(byId('threshold'), rangeOf('score'));
    byId('threshold').value = content.score;
    state.mode = 'score';
    readControls();
  }));
}

// Paper has no controls.
function describeFilters() {
  const sizes = state.high === Infinity ? `from ${state.low}` : `${state.low} to ${state.high}`;
  byId('chosen').textContent = `Chosen: sizes ${sizes} px, ${state.category < 0 ? 'all classes' : `class ${content.classes[state.category]}`}, `
    + `${state.mode === 'score' ? 'score' : 'precision'} from ${shownThreshold()}.`;
}

function readControls() {
  const number = (id, otherwise) => (byId(id).value === '' ? otherwise : Number(byId(id).value));
  state.low = Math.max(0, number('low', 0));
  state.high = Math.max(0, number('high', Infinity));
  const same = content.bins.findIndex(({ low, high }) => low === state.low && (high === null ? Infinity : high) === state.high);
  byId('size').selectedIndex = same < 0 ? content.bins.length : same;
  const name = byId('class').value;
  const isKnown = name === '' || classNumber.has(name);
  byId('class-error').textContent = isKnown ? '' : 'no class of this name';
  if (isKnown) state.category = name === '' ? -1 : classNumber.get(name);
  const mode = isPair ? byId('mode').value : 'score';
  const slider = byId('threshold');
  if (mode !== state.mode) {
    state.mode = mode;
    Object.assign(slider, rangeOf(mode));
    slider.value = state[mode];
  }
  state[mode] = chosenThreshold();
  byId('threshold-name').textContent = mode === 'score' ? 'Score from' : 'Precision';
  describeFilters();
  byId('threshold-value').textContent = shownThreshold();
  update();
}

let isWaiting = false;

// At most once a frame.
function update(keepsShown = false) {
  if (keepsShown !== true) state.shown = PIECES;
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => { isWaiting = false; updateNow(); });
}

function updateNow() {
  const begin = performance.now();
  const objects = objectsInView();
  const sweeps = detectors.map((d) => sweep(d, objects.length));
  const least = thresholds(sweeps);
  const kinds = detectors.map((d) => countObjects(d, objects, least[d]));
  const found = detectors.map((d) => countDetections(d, least[d]));
  const falses = found.map((counts) => counts.slice(1, IGNORED).reduce((a, b) => a + b, 0));
  for (const panel of panels) panel({ objects, sweeps, least, kinds, found, falses });
  // Read by the benchmark.
  document.body.dataset.milliseconds = (performance.now() - begin).toFixed(1);
}

function begin() {
  const found = detectors.map((d) => `${columns[`score_${d}`].length} detections of ${content.detectors[d]}`);
  byId('summary').textContent = `${content.data}: ${content.images} images, ${columns.object_area.length} objects, ${found.join(', ')}.`;
  fillControls();
  if (isPair) {
    addDifferences();
    addExchange();
  }
  addCounts();
  addErrors();
  addPrecision();
  if (!isPair) {
    addSizes();
    addConfusion();
  }
  addCalibration();
  addGallery();
  addTable('table-sizes', 'Figures by size', content.tables.sizes, false);
  addTable('table-classes', 'Figures by class', content.tables.classes, !isPair);
  byId('zoom-close').addEventListener('click', () => byId('zoom').close());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => update(true));
  readControls();
  updateNow();
}

openPage(begin);
