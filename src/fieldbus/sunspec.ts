// Finds a SunSpec device's models: the marker at one of the bases, then the chain of (id, length).
// Source: SunSpec Device Information Model Specification V1.1, section 6.

import { WattpactError } from '../base/errors.ts';
import { HEADER } from '../site/sunspec-models.ts';
import type { Layout, ModelAt } from './codec.ts';
import { isRefused } from './errors.ts';

export type ReadHolding = (address: number, count: number) => Promise<readonly number[]>;

/** A chain longer than any device's: an endless one ends here. */
export const MODELS_MAX = 128;
/** Registers of one model that are read: a hostile length ends here. */
const MODEL_REGISTERS_MAX = 2_000;
const MARKER = [0x5375, 0x6e53];
const END = 0xffff;
const LAST_ADDRESS = 65_535;

export interface Model {
  readonly id: number;
  /** Address of its ID register. */
  readonly address: number;
  /** Registers behind the header. */
  readonly length: number;
}

/** The models of a device in their order. Errors: `fieldbus.sunspec` when there is no marker; what `read` throws, but for a refused base. */
export async function findModels(read: ReadHolding, bases: readonly number[]): Promise<Model[]> {
  for (const base of bases) {
    if (await hasMarker(read, base)) return walk(read, base + MARKER.length);
  }
  throw new WattpactError('fieldbus.sunspec', `no SunSpec marker at ${bases.join(', ')}`, {
    hint: 'the device may have SunSpec switched off, another unit id, or none at all',
  });
}

/** Model -> where; of several instances of a model the first counts. */
export function layoutOf(models: readonly Model[]): Layout {
  const layout = new Map<number, ModelAt>();
  for (const { id, address, length } of models) if (!layout.has(id)) layout.set(id, { address, length });
  return layout;
}

/**
 * A model's registers from its ID on; fewer when the device refuses the rest of it, or claims more than any model that repeats its groups has.
 * Errors: what `read` throws, but for a refusal.
 */
export async function readModel(read: ReadHolding, model: Model, registersMax: number): Promise<number[]> {
  const words: number[] = [];
  const wanted = Math.min(model.length + HEADER, MODEL_REGISTERS_MAX, LAST_ADDRESS + 1 - model.address);
  while (words.length < wanted) {
    try {
      const part = await read(model.address + words.length, Math.min(registersMax, wanted - words.length));
      if (part.length === 0) return words;
      words.push(...part);
    } catch (error) {
      if (isRefused(error)) return words;
      throw error;
    }
  }
  return words;
}

async function hasMarker(read: ReadHolding, base: number): Promise<boolean> {
  try {
    const words = await read(base, MARKER.length);
    return words[0] === MARKER[0] && words[1] === MARKER[1];
  } catch (error) {
    if (isRefused(error)) return false;
    throw error;
  }
}

async function walk(read: ReadHolding, start: number): Promise<Model[]> {
  const models: Model[] = [];
  let address = start;
  while (models.length < MODELS_MAX && address + 1 <= LAST_ADDRESS) {
    let header: readonly number[];
    try {
      header = await read(address, 2);
    } catch (error) {
      // Some devices end their chain by refusing what is behind it.
      if (isRefused(error) && models.length > 0) return models;
      throw error;
    }
    const [id = END, length = 0] = header;
    if (id === END || id === 0) return models;
    models.push({ id, address, length });
    address += length + HEADER;
  }
  return models;
}
