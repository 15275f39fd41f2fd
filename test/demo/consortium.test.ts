// Mistakes in a consortium file are said with their place before any key is made.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { parseConsortium } from '../../src/demo/consortium.ts';

const FILE = readFileSync(resolve(import.meta.dirname, '../../devices/demo/consortium.yaml'), 'utf8');

test.each([
  [
    'parent: north',
    'parent: nort',
    /^c\.yaml:31:29 feeders\.0\.buses\.2\.parent: there is no bus nort; did you mean north\?$/,
  ],
  ['parent: null', 'parent: garden', /^c\.yaml:29:7 feeders\.0\.buses: a feeder has exactly one root$/],
  ['operator: grid-operator', 'operator: grid', /feeders\.0\.operator: there is no operator grid/],
  [
    'bus: mill',
    'bus: mil',
    /^c\.yaml:37:52 sites\.1\.bus: there is no bus on feeder linden-street: mil; did you mean mill\?$/,
  ],
  ['feeder: linden-street, bus: north', 'feeder: linden, bus: north', /sites\.2\.feeder: there is no feeder linden/],
  ['[grid-operator]', '[validator-1, grid-operator]', /operators\.0: validator-1 stands here a second time/],
  [
    'requestMinutes: 10',
    'requestMinutes: 3',
    /^c\.yaml:8:3 interval: .*requestMinutes \(3\) > gateCloseMinutes \(5\) must hold$/,
  ],
  ['capacityW: 160000', 'capacityW: 160kW', /buses\.1\.capacityW: a number is wanted, not the text "160kW"/],
] as const)('%s -> %s', (from, to, expected) => {
  expect(FILE).toContain(from);
  expect(() => parseConsortium(FILE.replace(from, to), 'c.yaml')).toThrow(expected);
});

test('the one that ships is in order', () => {
  expect(parseConsortium(FILE, 'c.yaml').validators).toHaveLength(4);
});
