// The page in a real browser (package chromium), over its debugging protocol: nothing overflows, nothing jumps, nothing breaks.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { createPage, type Page } from '../../src/web/page.ts';
import type { PageState } from '../../src/web/state.ts';
import { sampleState } from '../web/sample.ts';
import { type Browser, startBrowser, type Tab } from './browser.ts';

let browser: Browser;
let tab: Tab;
let page: Page;
let state: PageState = sampleState();

beforeAll(async () => {
  browser = await startBrowser();
  tab = browser.tab;
  await tab.call('Page.addScriptToEvaluateOnNewDocument', {
    source: `window.shift = 0; new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });`,
  });
  page = await createPage({ host: '127.0.0.1', port: 0, snapshot: () => state, log: SILENT });
});

afterAll(async () => {
  await browser?.stop();
  await page?.close();
});

async function open(width: number, scheme: 'light' | 'dark'): Promise<void> {
  tab.complaints.length = 0;
  state = sampleState();
  await tab.call('Emulation.setDeviceMetricsOverride', {
    width,
    height: 900,
    deviceScaleFactor: 1,
    mobile: width < 500,
  });
  await tab.call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  await tab.call('Page.navigate', { url: page.url });
  await tab.shows('4 sites', `document.querySelectorAll('.card').length === 4`);
}

test.each([
  [360, 'light'],
  [360, 'dark'],
  [800, 'light'],
  [1400, 'dark'],
] as const)('at %i px, %s: fits its width, does not jump, and the console is silent', async (width, scheme) => {
  await open(width, scheme);
  state = {
    ...state,
    head: { height: 18, timeMs: 0, hash: 'f'.repeat(64) },
    requests: state.requests.slice(2),
    events: [],
  };
  page.refresh();
  await tab.shows('the next block', `document.getElementById('height').textContent.startsWith('18')`);
  const fits = 'document.documentElement.scrollWidth <= window.innerWidth';
  const visible = "getComputedStyle(document.querySelector('main')).visibility";
  expect(await tab.evaluate(`[${fits}, window.shift < 0.05, ${visible}]`)).toEqual([true, true, 'visible']);
  expect(tab.complaints).toEqual([]);
});

test('names from outside are text, whatever they look like', async () => {
  await open(1400, 'light');
  const hostile = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>';
  const [first, ...rest] = state.sites;
  state = {
    ...state,
    sites: [{ ...(first as (typeof rest)[number]), id: 'new', name: hostile, trouble: hostile }, ...rest],
  };
  page.refresh();
  await tab.shows('the new site', `document.querySelector('h3').textContent === ${JSON.stringify(hostile)}`);
  expect(await tab.evaluate('[window.broken === undefined, document.images.length]')).toEqual([true, 0]);
});

test('a page whose program has ended says so', async () => {
  await open(1400, 'light');
  await page.close();
  await tab.shows('that the link is lost', `document.getElementById('link').textContent === 'lost, trying again'`);
});
