// What the installer's commands share: a site's buses opened once, without polling.

import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { nearest } from '../base/nearest.ts';
import type { BusOwner } from '../fieldbus/bus.ts';
import { ownerOf } from '../fieldbus/fieldbus.ts';
import type { Bus, Device, LineTraits, LoadedSite } from '../site/types.ts';
import { printLine } from './output.ts';

/** Longest wait for a bus that a command needs. */
const CONNECT_MS = 6_000;

export const machineClock: Clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };

/** Warnings and errors of the field bus, on standard error. */
export const warnings: Log = {
  debug() {},
  info() {},
  warn: (_fields, message) => void process.stderr.write(`wattpact: ${message}\n`),
  error: (_fields, message) => void process.stderr.write(`wattpact: ${message}\n`),
};

/** Opens a bus, runs `act` and closes it. Errors: `fieldbus.disconnected` when it cannot be opened in time. */
export async function withBus<T>(
  bus: Bus,
  lines: readonly LineTraits[],
  act: (owner: BusOwner) => Promise<T>,
): Promise<T> {
  const reasons: string[] = [];
  const log: Log = { ...warnings, warn: (_fields, message) => void reasons.push(message) };
  const owner = ownerOf(bus, lines, { clock: machineClock, log });
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        const where = bus.kind === 'rtu' ? bus.path : `${bus.host}:${bus.port}`;
        reject(
          new WattpactError('fieldbus.disconnected', reasons[0] ?? `bus ${bus.id}: no connection to ${where}`, {
            hint: 'check the address, the cable and that no other program holds the device',
          }),
        );
      }, CONNECT_MS);
      owner.onConnected(() => {
        clearTimeout(timer);
        resolve();
      });
      owner.start();
    });
    return await act(owner);
  } finally {
    await owner.stop();
  }
}

/** The device and its bus. Errors: `usage.device` with the nearest name. */
export function deviceOf(loaded: LoadedSite, id: string): { device: Device; bus: Bus } {
  const device = loaded.site.devices.find((entry) => entry.id === id);
  if (device === undefined) {
    const names = loaded.site.devices.map((entry) => entry.id);
    const meant = nearest(id, names);
    throw new WattpactError(
      'usage.device',
      `${loaded.file} has no device ${id}${meant === null ? '' : `; did you mean ${meant}?`}`,
      {
        hint: `it has ${names.join(', ')}`,
      },
    );
  }
  return { device, bus: loaded.site.buses.find((entry) => entry.id === device.bus) as Bus };
}

/** Columns of text, each as wide as its widest cell. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  for (const row of rows)
    printLine(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}
