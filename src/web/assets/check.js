// The page that checks a clearing (check.html): reads a document, asks the market's own rules, says what came of it.

import { canonicalBytes } from '../../base/canonical.ts';
import { describeError } from '../../base/errors.ts';
import { certificateProblem } from '../../ledger/clearing-certificate.ts';

const BYTES_MAX = 256 * 1024 * 1024;
const BUSES_SHOWN = 200;

const byId = (id) => document.getElementById(id);

// The same file may be chosen again, after it was written anew.
byId('file').addEventListener('click', ({ target }) => {
  target.value = '';
});
byId('file').addEventListener('change', async ({ target }) => {
  const [file] = target.files;
  if (file === undefined) return;
  byId('detail').hidden = true;
  say('', 'Checking …');
  try {
    if (file.size > BYTES_MAX) throw new Error(`the file has ${file.size} bytes, the limit is ${BYTES_MAX}`);
    await check(JSON.parse(await file.text()));
  } catch (error) {
    say('no', `This is no clearing that can be checked: ${describeError(error)}`);
  }
});

async function check(clearing) {
  if (clearing === null || !Array.isArray(clearing.orders) || !Array.isArray(clearing.buses)) {
    throw new Error('it has no orders and buses');
  }
  const digest = await crypto.subtle.digest('SHA-256', canonicalBytes(clearing));
  const problem = certificateProblem(clearing);
  const where = `${clearing.feeder}, interval ${clearing.interval}`;
  if (problem === null) {
    say('yes', `Optimal: ${where}, ${clearing.orders.length} steps of offers, ${clearing.tradedWh} Wh traded.`);
  } else say('no', `Not proven optimal: ${where}: ${problem}`);
  byId('hash').textContent = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  byId('buses').replaceChildren(...clearing.buses.slice(0, BUSES_SHOWN).map((bus, i) => row(clearing, bus, i)));
  byId('detail').hidden = false;
}

function row({ pricesUcPerWh, flowsWh }, { id }, i) {
  const line = document.createElement('tr');
  for (const [text, kind] of [
    [id, ''],
    [pricesUcPerWh[i], 'number'],
    [flowsWh[i], 'number'],
  ]) {
    const cell = document.createElement('td');
    cell.textContent = text === undefined ? '–' : String(text);
    cell.className = kind;
    line.append(cell);
  }
  return line;
}

function say(holds, text) {
  const verdict = byId('verdict');
  verdict.dataset.holds = holds;
  verdict.textContent = text;
}
