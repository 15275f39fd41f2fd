// What was doubted within the last day, and nothing older.

import { expect, test } from 'vitest';
import { createDoubts, keptDoubts } from '../../src/gateway/doubts.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { INTERVAL, INTERVAL_MS } from '../vectors/examples.ts';

const PER_DAY = 86_400_000 / INTERVAL_MS;

test('the intervals of the last day count, each once, in the words of what was most often wrong', () => {
  const { settings } = openGatewayStore(':memory:');
  const doubts = createDoubts(settings, INTERVAL_MS);
  doubts.note('pv', INTERVAL, 'stuck');
  doubts.note('pv', INTERVAL + 1, 'stuck');
  doubts.note('pv', INTERVAL + 1, 'stuck');
  doubts.note('pv', INTERVAL + 2, null);
  const [doubt] = doubts.of(INTERVAL + 3);
  expect(doubt).toMatchObject({ subject: 'pv', intervals: 2, why: expect.stringMatching(/./) });
  expect(doubts.of(INTERVAL + PER_DAY)).toMatchObject([{ intervals: 1 }]);
  expect(doubts.of(INTERVAL + PER_DAY + 1)).toEqual([]);
  expect(keptDoubts(settings, INTERVAL + 3, INTERVAL_MS)).toEqual([]);
  doubts.keep();
  expect(keptDoubts(settings, INTERVAL + 3, INTERVAL_MS)).toEqual([doubt]);
  expect(keptDoubts(settings, INTERVAL + PER_DAY + 1, INTERVAL_MS)).toEqual([]);
  expect(createDoubts(settings, INTERVAL_MS).of(INTERVAL + 3)).toEqual([doubt]);
});
