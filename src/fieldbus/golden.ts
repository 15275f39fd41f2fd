// A profile against its golden frames: the request that a planner could send, the bytes of the answer, the values that follow. Pure.

import { WattpactError } from '../base/errors.ts';
import type { GoldenFrame, Profile, Table } from '../site/types.ts';
import type { Registers } from './codec.ts';
import { servedLayout } from './image.ts';
import { pointValue } from './points.ts';

/** A frame gives a value to so many digits. */
const RELATIVE_TOLERANCE = 1e-6;
const TABLES: Readonly<Record<number, Table>> = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' };

/** What a frame says against the profile; empty when all is well. */
export function frameProblems(profile: Profile, frame: GoldenFrame): string[] {
  let registers: Registers;
  try {
    registers = registersOf(frame);
  } catch (error) {
    return [(error as Error).message];
  }
  const layout = servedLayout(profile);
  return Object.entries(frame.values).flatMap(([measurand, expected]) => {
    const point = profile.points.get(measurand);
    if (point === undefined) return [`${measurand} is no point`];
    const found = pointValue(point, registers, layout);
    if ('reason' in found) return [`${measurand}: ${found.reason}`];
    const difference = Math.abs(found.value - expected);
    if (difference <= RELATIVE_TOLERANCE * Math.max(1, Math.abs(expected))) return [];
    return [`${measurand} is ${found.value}, not ${expected}`];
  });
}

/** Registers of an exchange of PDUs. Errors: `profile.frame` when it is none. */
function registersOf(frame: GoldenFrame): Registers {
  const request = bytesOf(frame.request);
  const response = bytesOf(frame.response);
  const table = TABLES[request[0] ?? 0];
  const [code, ...rest] = response;
  if (table === undefined || request.length !== 5) {
    throw new WattpactError('profile.frame', 'the request is not function code, address and count of a read');
  }
  const address = word(request, 1);
  const count = word(request, 3);
  const bits = table === 'coil' || table === 'discrete';
  const bytes = bits ? Math.ceil(count / 8) : 2 * count;
  if (code !== request[0] || rest[0] !== bytes || rest.length !== bytes + 1) {
    throw new WattpactError(
      'profile.frame',
      `the response must be ${hexOf(request[0])}, then ${hexOf(bytes)} (${bytes} bytes), then the data of ${count} ${table}; it has ${rest.length - 1}`,
    );
  }
  return (wantedTable, wanted) => {
    const offset = wanted - address;
    if (wantedTable !== table || offset < 0 || offset >= count) return undefined;
    return bits ? ((response[2 + (offset >> 3)] ?? 0) >> (offset & 7)) & 1 : word(response, 2 + 2 * offset);
  };
}

function bytesOf(hex: string): number[] {
  return (hex.replace(/\s+/g, '').match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
}

function word(bytes: readonly number[], at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function hexOf(byte: number | undefined): string {
  return (byte ?? 0).toString(16).toUpperCase().padStart(2, '0');
}
