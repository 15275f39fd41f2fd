// What the owner may do from the page: hold, charge or switch a battery or a load by hand until a time. Everything sent carries the owner's
// token; it comes in the address's fragment once, stays in this tab, and can be typed in.

const KEY = 'wattpact owner';
const MODES = {
  battery: [
    ['hold', 'hold'],
    ['charge-to', 'charge to'],
    ['off', 'off'],
  ],
  load: [
    ['on', 'on'],
    ['off', 'off'],
    ['hold', 'leave as it is'],
  ],
  // By SG-ready states: it is never blocked, and off means that nothing more is asked of it.
  'heat-pump': [
    ['on', 'on (forced)'],
    ['off', 'off (runs on its own)'],
    ['hold', 'leave as it is'],
  ],
};
const HOURS = [0.5, 1, 2, 4, 8, 24];

const given = new URLSearchParams(location.hash.slice(1)).get('token');
if (given !== null) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, '', location.pathname);
}

/** Chain time of the last snapshot: ends are said in it. */
let nowMs = 0;

async function send(site, statement) {
  const response = await fetch(`/override?site=${encodeURIComponent(site)}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ''}` },
    body: JSON.stringify(statement),
  });
  if (response.status === 401) sessionStorage.removeItem(KEY);
  return response.ok ? '' : await response.text();
}

function labelled(make, text, field) {
  return make('label', {}, make('span', {}, text), field);
}

/** The part of a site's card in which its owner speaks. `tools`: how the page makes and writes elements. */
export function makeOwner(site, { make, write }) {
  const choices = (options) => options.map(([value, text]) => make('option', { value }, text));
  const device = make('select', { name: 'id' }, ...choices(site.equipment.map(({ id }) => [id, id])));
  const mode = make('select', { name: 'mode' });
  const percent = make('input', { name: 'percent', type: 'number', min: 0, max: 100, value: 80 });
  const percentLabel = labelled(make, '%', percent);
  const hours = make('select', { name: 'hours' }, ...choices(HOURS.map((value) => [value, `${value} h`])));
  const token = make('input', { name: 'token', type: 'password', autocomplete: 'off' });
  const tokenLabel = labelled(make, "Owner's token", token);
  const answer = make('p', { class: 'trouble', role: 'status' });
  const standing = make('ul', { class: 'overrides' });

  const adapt = () => {
    const kind = site.equipment.find(({ id }) => id === device.value)?.kind ?? 'load';
    if (mode.dataset.kind !== kind) {
      mode.replaceChildren(...choices(MODES[kind]));
      mode.dataset.kind = kind;
    }
    percentLabel.hidden = mode.value !== 'charge-to';
    tokenLabel.hidden = sessionStorage.getItem(KEY) !== null;
  };
  const say = async (statement) => {
    if (token.value !== '') sessionStorage.setItem(KEY, token.value);
    token.value = '';
    write(answer, await send(site.id, statement).catch(() => 'the page does not answer'));
    adapt();
  };
  const form = make(
    'form',
    { class: 'override' },
    labelled(make, 'By hand', device),
    labelled(make, 'Mode', mode),
    percentLabel,
    labelled(make, 'For', hours),
    tokenLabel,
    make('button', { type: 'submit' }, 'Set'),
  );
  form.addEventListener('change', adapt);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const until = `${new Date(nowMs + Number(hours.value) * 3_600_000).toISOString().slice(0, 19)}Z`;
    const aim = mode.value === 'charge-to' ? { percent: Number(percent.value) } : {};
    say({ id: device.value, mode: mode.value, until, ...aim });
  });
  standing.addEventListener('click', ({ target }) => {
    if (target instanceof HTMLButtonElement) say({ id: target.value, mode: 'auto' });
  });
  adapt();
  return make('div', { class: 'owner' }, standing, form, answer);
}

const WORDS = {
  hold: () => 'held',
  'charge-to': ({ percent }) => `charged to ${percent} %`,
  off: (_, kind) => (kind === 'heat-pump' ? 'off (runs as it would on its own, never blocked),' : 'off'),
  on: (_, kind) => (kind === 'heat-pump' ? 'forced' : 'on'),
};

/** What stands now, each with a button to end it. */
export function showOwner(part, site, state, { make, keep, write }) {
  nowMs = state.nowMs;
  part.querySelector('form').hidden = !state.canAct;
  keep(
    part.querySelector('.overrides'),
    site.equipment.filter(({ override }) => override !== null),
    ({ id }) => id,
    ({ id }) => make('li', {}, make('span'), make('button', { type: 'button', value: id, hidden: '' }, 'End')),
    (line, { id, kind, override }) => {
      const until = new Date(override.untilMs).toISOString().slice(11, 16);
      write(line.firstElementChild, `${id}: ${WORDS[override.mode](override, kind)} by hand until ${until} UTC`);
      line.lastElementChild.hidden = !state.canAct;
    },
  );
}
