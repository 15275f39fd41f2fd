// Draws the snapshots that come from /events. Every element is made once and only what changed is written to it, so nothing
// jumps, scroll positions stay and a screen reader is left in peace. Text enters as text nodes only.

import { makeOwner, showOwner } from './owner.js';

const byId = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {import('../state.ts').PageState} PageState */

// --- small tools -----------------------------------------------------------------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes = {}, content = '') {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (content !== '') element.textContent = content;
  return element;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function dress(element, name) {
  if (element.className !== name) element.className = name;
}

/** Keeps one child of `parent` a key, in order: makes what is new, updates what is there, removes what is gone. */
function keep(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = old.get(key);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = key;
    }
    old.delete(key);
    if (child !== place) parent.insertBefore(child, place);
    else place = place.nextElementSibling;
    update(child, item);
  }
  for (const child of old.values()) child.remove();
}

// --- figures for people ----------------------------------------------------------------------------------------------

const MINUS = '\u2212';
const number = (value, digits) => value.toFixed(digits).replace('-', MINUS);

function power(watts) {
  if (watts === null) return 'unknown';
  return Math.abs(watts) >= 10_000 ? `${number(watts / 1000, 1)} kW` : `${number(watts, 0)} W`;
}

function energy(wattHours) {
  if (wattHours === null) return '–';
  return Math.abs(wattHours) >= 10_000 ? `${number(wattHours / 1000, 1)} kWh` : `${number(wattHours, 0)} Wh`;
}

/** µ¤/Wh is thousandths of ¤/kWh. */
const price = (ucPerWh, unit) => `${number(ucPerWh / 1000, 2)} ${unit}/kWh`;
const money = (uc, unit) => (uc === null ? '–' : `${number(Number(uc) / 1e6, 2)} ${unit}`);
const clock = (atMs) => new Date(atMs).toISOString().slice(11, 19);
const minutes = (atMs) => new Date(atMs).toISOString().slice(11, 16);
const day = (atMs) => new Date(atMs).toISOString().slice(0, 10);

// --- head ------------------------------------------------------------------------------------------------------------

function showHead(state) {
  write(byId('chain'), state.chain);
  write(byId('now'), `${day(state.nowMs)} ${clock(state.nowMs)} UTC`);
  const { startMs, endMs } = state.interval;
  write(byId('interval'), `${minutes(startMs)}–${minutes(endMs)}`);
  byId('progress').value = Math.max(0, Math.min(100, (100 * (state.nowMs - startMs)) / (endMs - startMs)));
  write(byId('height'), state.head === null ? '–' : `${state.head.height} · ${state.head.hash.slice(0, 8)}`);
  const pace = state.rate === 1 ? 'real time' : `${state.rate} seconds a second`;
  write(byId('source'), `Measured days: ${state.source}; ${pace}.`);
}

// --- sites -----------------------------------------------------------------------------------------------------------

const BARS = [
  ['Generation', 'generation', (site) => site.generationPowerW],
  ['Battery', 'battery', (site) => site.batteryPowerW],
  ['Consumption', 'consumption', (site) => site.consumptionPowerW],
];

function makeSite(site) {
  const bars = make('div', { class: 'bars' });
  for (const [name, kind] of BARS) {
    const track = make('span', { class: 'track', 'aria-hidden': 'true' }, make('span', { class: kind }));
    bars.append(make('span', {}, name), track, make('span', { class: 'value', 'data-bar': kind }));
  }
  const charge = make('span', { class: 'track', 'aria-hidden': 'true' }, make('span', { class: 'charge' }));
  bars.append(make('span', {}, 'Charge'), charge, make('span', { class: 'value', 'data-bar': 'charge' }));
  const curve = draw('svg', {
    class: 'curve',
    viewBox: '0 0 119 38',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  curve.append(draw('line', { x1: 0, x2: 119, y1: 19, y2: 19 }), draw('path'));
  return make(
    'article',
    { class: 'card', 'aria-label': site.name },
    make('header', {}, make('h3', {}, site.name), make('p', { class: 'quiet id' }, site.id)),
    make('p', { class: 'power' }, make('b'), make('span', { class: 'quiet' })),
    curve,
    bars,
    make(
      'div',
      { class: 'account' },
      make('span', {}, 'Traded'),
      make('span', { class: 'number', 'data-say': 'position' }),
      make('span', {}, 'Delivered so far'),
      make('span', { class: 'number', 'data-say': 'delivered' }),
      make('span', {}, 'Account'),
      make('span', { class: 'number', 'data-say': 'balance' }),
    ),
    make('p', { class: 'trouble', 'data-say': 'trouble' }),
    make('ul', { class: 'conditions' }),
    ...(site.equipment.length === 0 ? [] : [makeOwner(site, { make, write })]),
  );
}

function showSite(card, site, state) {
  const { unit } = state.currency;
  const { gridPowerW: grid } = site;
  const way = grid === null ? '' : grid < 0 ? 'export' : grid > 0 ? 'import' : '';
  const head = card.querySelector('.power');
  dress(head, `power ${way}`);
  write(head.firstElementChild, grid === null ? 'unknown' : power(Math.abs(grid)));
  write(head.lastElementChild, way === '' ? '' : `${way} now`);

  const largest = Math.max(1, ...BARS.map(([, , of]) => Math.abs(of(site) ?? 0)));
  for (const [, kind, of] of BARS) {
    const watts = of(site);
    card.querySelector(`.track .${kind}`).style.width = `${(100 * Math.abs(watts ?? 0)) / largest}%`;
    write(card.querySelector(`[data-bar=${kind}]`), kind === 'battery' && watts === null ? '–' : power(watts));
  }
  const charge = site.stateOfChargePercent;
  card.querySelector('.track .charge').style.width = `${charge ?? 0}%`;
  write(card.querySelector('[data-bar=charge]'), charge === null ? '–' : `${number(charge, 0)} %`);

  card.querySelector('.curve path').setAttribute('d', curveOf(site.gridPowersW));
  write(card.querySelector('[data-say=position]'), energy(site.positionWh));
  write(card.querySelector('[data-say=delivered]'), energy(site.deliveredWh));
  write(card.querySelector('[data-say=balance]'), money(site.balanceUc, unit));
  write(card.querySelector('[data-say=trouble]'), site.trouble ?? '');
  keep(
    card.querySelector('.conditions'),
    site.conditions.map((text) => ({ text })),
    ({ text }) => text,
    ({ text }) => make('li', {}, text),
    () => {},
  );
  const owner = card.querySelector('.owner');
  if (owner !== null) showOwner(owner, site, state, { make, keep, write });
}

/** The last powers as a line about zero; a gap where nothing was known. */
function curveOf(powers) {
  const largest = Math.max(1, ...powers.map((watts) => Math.abs(watts ?? 0)));
  let path = '';
  let pen = 'M';
  powers.forEach((watts, i) => {
    if (watts === null) {
      pen = 'M';
      return;
    }
    path += `${pen}${i + 120 - powers.length - 1} ${(19 - (17 * watts) / largest).toFixed(1)}`;
    pen = 'L';
  });
  return path;
}

// --- requests --------------------------------------------------------------------------------------------------------

const STAGES = ['request', 'pre-prepare', 'prepare', 'commit', 'reply'];
const TONES = { recorded: 'good', refused: 'bad', expired: 'bad', undecided: '' };

function makeRequest(request) {
  const stages = make('span', { class: 'stages', 'aria-hidden': 'true' }, ...STAGES.map(() => make('i')));
  const replies = make('span', { class: 'replies', 'aria-hidden': 'true' });
  return make(
    'tr',
    {},
    make('td', {}, minutes(request.intervalStartMs)),
    make('td', {}, request.gateway),
    make('td', {}, request.kind),
    make('td', { class: 'number' }, energy(request.energyWh)),
    make('td', {}, stages, make('span')),
    make('td', {}, replies, make('span')),
    make('td', {}),
  );
}

function showRequest(row, request) {
  const [, , , , phase, replies, state] = row.children;
  const stage = STAGES.indexOf(request.stage);
  for (const [i, dot] of [...phase.firstElementChild.children].entries()) dress(dot, i <= stage ? 'done' : '');
  write(phase.lastElementChild, request.stage);
  const pips = replies.firstElementChild;
  while (pips.children.length < request.validators) pips.append(make('i'));
  for (const [i, pip] of [...pips.children].entries()) dress(pip, i < request.confirmations ? 'in' : '');
  write(replies.lastElementChild, `${request.confirmations} of ${request.validators}`);
  dress(state, `reason ${TONES[request.phase]}`);
  write(state, request.reason === '' ? request.phase : `${request.phase}: ${request.reason}`);
}

// --- clearing --------------------------------------------------------------------------------------------------------

const ROW_HEIGHT = 56;
const COLUMN_WIDTH = 170;
/** A larger feeder is a list of trades and prices to its operator, not a picture here. */
const BUSES_DRAWN_MAX = 100;
let drawn = '';

/** The feeder as a tree, root at the left: one row a leaf, a parent at the middle of its children. */
function placesOf(buses) {
  const children = buses.map((_, i) => buses.flatMap((bus, j) => (bus.parent === i ? [j] : [])));
  const places = [];
  let rows = 0;
  const place = (i, column) => {
    const below = children[i].map((child) => place(child, column + 1));
    const row = below.length === 0 ? rows++ : (below[0] + below[below.length - 1]) / 2;
    places[i] = { x: 14 + column * COLUMN_WIDTH, y: 28 + row * ROW_HEIGHT, end: below.length === 0 };
    return row;
  };
  const root = buses.findIndex(({ parent }) => parent === -1);
  place(root, 0);
  return { places, rows };
}

function drawLine(bus, from, to) {
  const full = bus.capacityWh >= 0 && Math.abs(bus.flowWh) >= bus.capacityWh;
  const middle = (from.x + to.x) / 2;
  const d = `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
  const arrow = bus.flowWh === 0 ? '' : bus.flowWh > 0 ? '◂ ' : '▸ ';
  const label = { class: 'flow', x: middle, y: (from.y + to.y) / 2 + 4, 'text-anchor': 'middle' };
  return [
    draw('path', { class: full ? 'full' : bus.flowWh === 0 ? '' : 'flows', d }),
    draw('text', label, `${arrow}${energy(Math.abs(bus.flowWh))}`),
  ];
}

function drawBus(bus, { x, y, end }, unit) {
  // Beside a bus at the end of the tree, above and below one that lines leave from.
  const anchor = bus.parent === -1 ? 'start' : 'middle';
  const [at, above, below] = end ? [{ x: x + 11 }, y, y + 14] : [{ x, 'text-anchor': anchor }, y - 12, y + 21];
  return [
    draw('circle', { class: bus.sites.length > 0 ? 'site' : '', cx: x, cy: y, r: 6 }),
    draw('text', { ...at, y: above }, labelOf(bus)),
    draw('text', { ...at, class: 'price', y: below }, price(bus.priceUcPerWh, unit)),
  ];
}

const labelOf = (bus) => (bus.sites.length > 0 ? bus.sites.join(', ') : bus.id);

function showFeeder({ buses }, unit) {
  const key = JSON.stringify(buses);
  if (key === drawn) return;
  drawn = key;
  if (buses.length > BUSES_DRAWN_MAX) {
    byId('feeder').replaceChildren(make('p', { class: 'quiet' }, `${buses.length} buses: too many to draw`));
    return;
  }
  const { places, rows } = placesOf(buses);
  // About 7 of the drawing's units a letter.
  const width = Math.max(...places.map(({ x, end }, i) => x + (end ? 18 + 7 * labelOf(buses[i]).length : 60)));
  const height = rows * ROW_HEIGHT + 10;
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img' });
  const title = 'The feeder with the energy that the trades send over each line and the price at each bus';
  svg.append(draw('title', {}, title));
  buses.forEach((bus, i) => {
    if (bus.parent !== -1) svg.append(...drawLine(bus, places[bus.parent], places[i]));
  });
  buses.forEach((bus, i) => {
    svg.append(...drawBus(bus, places[i], unit));
  });
  byId('feeder').replaceChildren(svg);
}

function showClearing(clearing, unit) {
  if (clearing === null) return;
  const title = `${clearing.feeder}, ${minutes(clearing.intervalStartMs)}: `;
  const what = clearing.status === 'void' ? 'void, nothing was traded' : `${energy(Number(clearing.tradedWh))} traded`;
  write(byId('clearing-summary'), title + what);
  showFeeder(clearing, unit);
  keep(
    byId('trades'),
    clearing.trades.map((trade, i) => ({ ...trade, key: `${clearing.interval} ${i}` })),
    ({ key }) => key,
    (trade) =>
      make(
        'tr',
        {},
        make('td', {}, trade.seller),
        make('td', {}, trade.buyer),
        make('td', { class: 'number' }, energy(trade.energyWh)),
        make('td', { class: 'number' }, price(trade.sellerUcPerWh, unit)),
        make('td', { class: 'number' }, price(trade.buyerUcPerWh, unit)),
        make('td', { class: 'number' }, energy(trade.lossWh)),
      ),
    () => {},
  );
}

// --- validators and events -------------------------------------------------------------------------------------------

const ROLE_TONES = { primary: 'good', backup: '', changing: 'warn', syncing: 'warn', down: 'bad' };

function showValidator(row, validator) {
  const [, role, view, height, state, brokers] = row.children;
  dress(role, ROLE_TONES[validator.role]);
  write(role, validator.role);
  write(view, String(validator.view));
  write(height, String(validator.height));
  write(state, validator.stateHash.slice(0, 12));
  write(brokers, `${validator.brokersConnected} of ${validator.brokers}`);
}

function makeValidator(validator) {
  const cells = ['', 'number', 'number', 'mono', 'number'].map((name) => make('td', { class: name }));
  return make('tr', {}, make('th', { scope: 'row' }, validator.id), ...cells);
}

function makeEvent(event) {
  const tone = event.tone === 'plain' ? '' : event.tone;
  return make('li', {}, make('time', {}, clock(event.atMs)), make('span', { class: tone }, event.text));
}

// --- all of it -------------------------------------------------------------------------------------------------------

/** @param {PageState} state */
function show(state) {
  const { unit } = state.currency;
  showHead(state);
  keep(
    byId('sites'),
    state.sites,
    ({ id }) => id,
    makeSite,
    (card, site) => showSite(card, site, state),
  );
  keep(byId('requests'), state.requests, ({ id }) => id, makeRequest, showRequest);
  showClearing(state.clearing, unit);
  keep(byId('validators'), state.validators, ({ id }) => id, makeValidator, showValidator);
  const counts = new Map();
  const events = state.events.toReversed().map((event) => {
    const base = `${event.atMs} ${event.text}`;
    counts.set(base, (counts.get(base) ?? 0) + 1);
    return { ...event, key: `${base} ${counts.get(base)}` };
  });
  keep(
    byId('events'),
    events.toReversed(),
    ({ key }) => key,
    makeEvent,
    () => {},
  );
}

// What scrolls inside the page can be reached and scrolled by keyboard.
for (const box of document.querySelectorAll('.scroll, .feeder')) box.tabIndex = 0;

const source = new EventSource('/events');
source.addEventListener('message', ({ data }) => {
  write(byId('link'), 'live');
  dress(byId('link'), 'good');
  show(JSON.parse(data));
  document.body.classList.remove('waiting');
});
source.addEventListener('error', () => {
  write(byId('link'), 'lost, trying again');
  dress(byId('link'), 'bad');
});
