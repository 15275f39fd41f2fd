// What measured days say in another unit or with another sign is told.

import { expect, test } from 'vitest';
import { powerDoubts, priceDoubts } from '../../src/commands/series-doubts.ts';

test.each<[string, number[], RegExp | null]>([
  ['watts', [0, 300, 12_000], null],
  ['watts with a little of the inverter at night', [-5, -5, 3000], null],
  ['nothing at all', [0, 0], null],
  ['kW', [0.3, 12], /never above 12 W, and the connection has 24000 W: is it in kW\?/],
  ['mW', [300_000, 12_000_000], /up to 12000000 W/],
  ['the other sign', [0, -300, -12_000], /mostly below zero/],
])('powers: %s', (_name, powersW, expected) => {
  const doubts = powerDoubts('load_w', powersW, 24_000);
  if (expected === null) expect(doubts).toEqual([]);
  else expect(doubts).toEqual([expect.stringMatching(expected)]);
});

test.each<[string, number[], RegExp | null]>([
  ['µ¤/Wh', [30_000, 8_000, -2_000], null],
  ['none', [0], null],
  ['¤/kWh', [30, 8], /never above 30 µ¤\/Wh, 0\.03 ¤\/kWh/],
  ['beyond the market', [30_000_000], /more than the market takes/],
])('prices: %s', (_name, prices, expected) => {
  const doubts = priceDoubts('buy_uc_per_wh', prices);
  if (expected === null) expect(doubts).toEqual([]);
  else expect(doubts).toEqual([expect.stringMatching(expected)]);
});
