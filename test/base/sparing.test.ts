// A flood from outside costs a bounded number of lines; who is honest is still heard of.

import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { sparing } from '../../src/base/sparing.ts';

function made() {
  const lines: { fields: object; message: string }[] = [];
  let nowMs = 0;
  const warn = sparing({ ...SILENT, warn: (fields, message) => void lines.push({ fields, message }) }, () => nowMs);
  const wait = (ms: number): void => {
    nowMs += ms;
  };
  return { lines, warn, wait };
}

test('one that does not stop gets ten lines, then one in ten seconds, which says what was left out', () => {
  const { lines, warn, wait } = made();
  for (let i = 0; i < 1_000; i++) warn('10.0.0.1', { i }, 'refused');
  expect(lines).toHaveLength(10);
  warn('10.0.0.2', {}, 'refused');
  expect(lines.at(-1)?.fields).toEqual({ linesLeftOut: 990 });
  wait(10_000);
  warn('10.0.0.1', {}, 'refused');
  warn('10.0.0.1', {}, 'refused');
  expect(lines).toHaveLength(12);
  expect(lines.at(-1)?.fields).toEqual({});
});

test('many that come once each are bounded too', () => {
  const { lines, warn, wait } = made();
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 200; i++) warn(`10.${second}.0.${i}`, {}, 'refused');
    wait(1_000);
  }
  expect(lines.length).toBeLessThanOrEqual(100 + 2 * 60);
  expect(lines.length).toBeGreaterThan(100);
});
