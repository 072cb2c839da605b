'use strict';
// What all pages need: their content, elements, plots and tables.

const content = JSON.parse(document.getElementById('content').textContent);
const columns = {};

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}

const byId = (id) => document.getElementById(id);

function section(id, title, note, isWide = false) {
  const made = element(
    'section', { id, class: isWide ? 'wide' : '', 'aria-label': title },
    element('h2', {}, title));
  if (note) made.append(element('p', { class: 'note' }, note));
  byId('main').append(made);
  return made;
}

function plotIn(parent, id, label) {
  const made = element('div', { id, class: 'plot', role: 'img', 'aria-label': label });
  parent.append(made);
}

function show(number, digits = 3) {
  if (number === null || Number.isNaN(number)) return 'n/a';
  if (typeof number === 'string' || Number.isInteger(number)) return String(number);
  return number.toFixed(digits);
}

// Plotly takes its texts for HTML; names are shown as they are.
const plain = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function draw(id, traces, layout = {}) {
  const axis = { gridcolor: colour('line'), zerolinecolor: colour('line'), automargin: true };
  const legend = { orientation: 'h', y: 1.02, yanchor: 'bottom', x: 0 };
  const { xaxis, yaxis, ...rest } = layout;
  Plotly.react(id, traces, {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: { color: colour('text'), size: 12 },
    margin: { l: 50, r: 16, t: 28, b: 44 }, legend,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

function plainTable(header, rows) {
  const shown = (cell) => (cell instanceof Node ? cell : show(cell));
  return element(
    'table', {},
    element('thead', {}, element('tr', {}, ...header.map((name) => element('th', { scope: 'col' }, name)))),
    element('tbody', {}, ...rows.map((row) => element(
      'tr', {}, ...row.map((cell) => element('td', {}, shown(cell)))))));
}

async function unpack() {
  const text = byId('columns').textContent;
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  const buffer = await new Response(stream).arrayBuffer();
  const types = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
  for (const { name, type, offset, length } of content.columns) {
    columns[name] = new types[type](buffer, offset, length);
  }
}

// Fills a page once its columns are unpacked.
async function openPage(fill) {
  try {
    await unpack();
  } catch (error) {
    byId('loading').textContent = `The report cannot be unpacked: ${error.message}. It needs a browser of 2023 or later.`;
    return;
  }
  byId('loading').remove();
  fill();
  document.body.dataset.ready = 'yes';
}
