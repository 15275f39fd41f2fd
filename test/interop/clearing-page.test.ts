// The page that checks clearings, from a file, in a real browser: says yes to what was cleared and no to whatever is altered.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Json } from '../../src/base/canonical.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { ClearingDocument } from '../../src/ledger/types.ts';
import { hashOf } from '../../src/protocol/envelope.ts';
import { checkPage } from '../../src/web/check-page.ts';
import { documentFrom, randomInputs, wrongCopies } from '../ledger/documents.ts';
import { type Browser, startBrowser } from './browser.ts';

let browser: Browser;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wattpact-clearing-'));
  writeFileSync(join(folder, 'check.html'), checkPage());
  browser = await startBrowser();
  await browser.tab.call('Page.navigate', { url: pathToFileURL(join(folder, 'check.html')).href });
  await browser.tab.shows('the page', `document.readyState === 'complete' && document.getElementById('file')`);
});

afterAll(async () => {
  await browser?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Gives the page a file by its own input, and returns what it says. */
async function verdict(name: string, text: string): Promise<{ holds: string; text: string; hash: string }> {
  const { tab } = browser;
  const file = join(folder, `${name.replaceAll(' ', '-')}.json`);
  writeFileSync(file, text);
  await tab.evaluate(`document.getElementById('verdict').dataset.holds = ''`);
  const { result } = await tab.call('Runtime.evaluate', { expression: `document.getElementById('file')` });
  const { objectId } = result as { objectId: string };
  await tab.call('DOM.setFileInputFiles', { files: [file], objectId });
  await tab.shows(name, `document.getElementById('verdict').dataset.holds !== ''`);
  const said = `((v) => ({ holds: v.dataset.holds, text: v.textContent, hash: document.getElementById('hash').textContent }))`;
  return tab.evaluate(`${said}(document.getElementById('verdict'))`);
}

/** The first made-up clearing that fits. */
function find(fits: (document: ClearingDocument) => boolean): ClearingDocument {
  for (let seed = 1; ; seed++) {
    const document = documentFrom(randomInputs(seed));
    if (document.status === 'cleared' && document.trades.length > 1 && fits(document)) return document;
  }
}

test.each([
  ['one round', find(({ rounds, voltage }) => rounds === 1 && voltage === null)],
  ['several rounds', find(({ certificates }) => certificates.length > 1)],
  ['a voltage band', find(({ tightened }) => tightened.length > 0)],
])(
  '%s: what was cleared is optimal, and has the hash that notices name; what is altered is not',
  async (name, good) => {
    const yes = await verdict(`${name} good`, JSON.stringify(good));
    expect(yes.holds).toBe('yes');
    expect(yes.text).toMatch(/^Optimal: f1, interval 1000/);
    expect(yes.hash).toBe(hashOf(good as unknown as Json));
    for (const [what, wrong] of wrongCopies(good, seededRandom(7))) {
      expect({ what, ...(await verdict(what, JSON.stringify(wrong))) }).toMatchObject({ what, holds: 'no' });
    }
  },
);

test('what is no clearing is said to be none', async () => {
  const nothing = [
    '',
    '{',
    'null',
    '[]',
    '{"orders":[],"buses":[]}',
    '{"orders":[1],"buses":[null],"status":"cleared"}',
  ];
  for (const [i, text] of nothing.entries()) {
    expect(await verdict(`no clearing ${i}`, text)).toMatchObject({ holds: 'no' });
  }
  expect(browser.tab.complaints).toEqual([]);
});
