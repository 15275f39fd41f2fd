// How long a bus takes, reckoned before it is wired.

import { describe, expect, test } from 'vitest';
import { blockMs, NETWORK_MS, planBus, TURNAROUND_MS } from '../../src/fieldbus/busplan.ts';
import { loadProfile } from '../../src/site/load.ts';
import type { Bus, Profile } from '../../src/site/types.ts';
import { siteOn } from './served.ts';

const SDM = loadProfile('eastron/sdm630');
const RTU: Bus = { id: 'one', kind: 'rtu', path: '/dev/ttyUSB0', baud: 9600, parity: 'none', stopBits: 1 };
const TCP: Bus = { id: 'one', kind: 'tcp', host: '127.0.0.1', port: 502, share: null };
const withGap = (gapMs: number): Profile => ({ ...SDM, line: { ...SDM.line, gapMs } });

describe('a request and its answer', () => {
  // 8 bytes go out, 5 and the data come back; a byte has a start bit, 8 of data, parity if any, and its stop bits.
  test.each<[string, Bus, 'input' | 'coil', number, number]>([
    ['ten registers at 9600 8N1', RTU, 'input', 10, (33 * 10 * 1000) / 9600],
    ['with parity', { ...RTU, parity: 'even' }, 'input', 10, (33 * 11 * 1000) / 9600],
    ['with two stop bits', { ...RTU, stopBits: 2 }, 'input', 10, (33 * 11 * 1000) / 9600],
    ['twice as fast', { ...RTU, baud: 19_200 }, 'input', 10, (33 * 10 * 1000) / 19_200],
    ['nine coils are two bytes', RTU, 'coil', 9, (15 * 10 * 1000) / 9600],
  ])('%s', (_name, bus, table, count, wireMs) => {
    expect(blockMs({ table, address: 0, count }, bus, withGap(20))).toBeCloseTo(wireMs + TURNAROUND_MS + 20, 6);
  });

  test('over a network the wire is no matter, the silence that the device wants is', () => {
    const block = { table: 'input', address: 0, count: 100 } as const;
    expect(blockMs(block, TCP, withGap(0))).toBe(NETWORK_MS);
    expect(blockMs(block, TCP, withGap(30))).toBe(NETWORK_MS + 30);
  });

  test('a serial line is silent for three and a half characters at least', () => {
    const block = { table: 'input', address: 0, count: 1 } as const;
    const wireMs = (15 * 10 * 1000) / 9600;
    const silenceMs = blockMs(block, RTU, withGap(0)) - wireMs - TURNAROUND_MS;
    expect(silenceMs).toBeGreaterThanOrEqual((3.5 * 10 * 1000) / 9600);
    expect(silenceMs).toBeLessThan(10);
  });
});

test('a bus’s load is that of all its devices, each class by its own period; those on another bus are not asked', () => {
  const meter = (unitId: number) => `profile: eastron/sdm630, unitId: ${unitId}, role: meter`;
  const plan = (devices: Record<string, string>, bus: Bus = RTU) =>
    planBus(
      { ...siteOn(1, { meter: 'profile: eastron/sdm630, unitId: 1, role: grid-meter', ...devices }), buses: [bus] },
      new Map([[SDM.name, SDM]]),
      bus,
      { fast: 1_000, medium: 10_000, slow: 60_000 },
    );
  const one = plan({});
  const timeOf = (poll: string): number =>
    one.devices.flatMap(({ classes }) => classes).find((each) => each.poll === poll)?.timeMs ?? 0;
  expect(timeOf('fast')).toBeGreaterThan(0);
  expect(one.cycleMs).toBe(timeOf('fast'));
  expect(one.load).toBeCloseTo(timeOf('fast') / 1_000 + timeOf('medium') / 10_000 + timeOf('slow') / 60_000, 9);
  const three = plan({ second: meter(2), third: meter(3) });
  expect(three.cycleMs).toBeCloseTo(3 * one.cycleMs, 9);
  expect(three.load).toBeCloseTo(3 * one.load, 9);
  expect(plan({}, { ...RTU, id: 'other' }).devices).toEqual([]);
});
