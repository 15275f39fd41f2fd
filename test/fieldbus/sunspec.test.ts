// SunSpec: every model against vectors made from the standard's own tables, and devices that do not keep to it.
// test/vectors/sunspec-models.json: per model its registers, and the value of each point (null: not implemented), computed apart from this code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { decodePart, partAt } from '../../src/fieldbus/codec.ts';
import { ownerOf } from '../../src/fieldbus/fieldbus.ts';
import { type Probe, probeDevice } from '../../src/fieldbus/probe.ts';
import { findModels, MODELS_MAX, readModel } from '../../src/fieldbus/sunspec.ts';
import { decodeModel } from '../../src/fieldbus/sunspec-decode.ts';
import { loadProfile, profileNames } from '../../src/site/load.ts';
import { SUNSPEC_MODELS, sunspecPoint } from '../../src/site/sunspec-models.ts';
import type { Profile } from '../../src/site/types.ts';
import { clock, fieldbusOf, serve, siteOn } from './served.ts';

interface Vector {
  readonly model: number;
  readonly registers: string;
  readonly values: Readonly<Record<string, number | string | null>>;
}

const VECTORS: readonly Vector[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/sunspec-models.json'), 'utf8'),
);
const MODELS = [1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160, 201, 202, 203, 204, 211, 212, 213, 214];
const DER = Array.from({ length: 14 }, (_, i) => 701 + i);

function wordsOf({ registers }: Vector): number[] {
  return (registers.match(/.{4}/g) ?? []).map((word) => Number.parseInt(word, 16));
}

function vectorOf(model: number): Vector {
  return VECTORS.find((vector) => vector.model === model) as Vector;
}

describe('every point of every model', () => {
  test('there is a vector for each', () => {
    expect(VECTORS.map(({ model }) => model)).toEqual([...MODELS, ...DER, 802]);
    expect([...SUNSPEC_MODELS.keys()].sort((a, b) => a - b)).toEqual([...MODELS, ...DER, 802]);
  });

  test.each(VECTORS.map((vector) => [vector.model, vector] as const))('model %i', (model, vector) => {
    const table = SUNSPEC_MODELS.get(model)!;
    const found = decodeModel(table, wordsOf(vector));
    expect(found.map(({ name }) => name)).toEqual(Object.keys(vector.values));
    for (const { name, value, text, reason } of found) {
      const expected = vector.values[name];
      if (typeof expected === 'string') expect(text, name).toBe(expected);
      else if (expected === null) expect([value, text, reason], name).toEqual([null, null, expect.any(String)]);
      else expect(Math.abs((value ?? Number.NaN) - expected!), name).toBeLessThanOrEqual(1e-9 * Math.abs(expected!));
    }
  });

  test('a scale factor that is not there leaves no value, and one that changes is followed', () => {
    const words = wordsOf(vectorOf(103));
    const power = (): unknown => decodeModel(SUNSPEC_MODELS.get(103)!, words).find(({ name }) => name === 'W');
    words[14] = 1234;
    words[15] = 0x8000;
    expect(power()).toMatchObject({ value: null, reason: 'its scale factor W_SF is not implemented' });
    words[15] = 1;
    expect(power()).toMatchObject({ value: 12_340, reason: null });
    words[15] = 0xffff;
    expect(power()).toMatchObject({ value: 123.4, reason: null });
    words[15] = 99;
    expect(power()).toMatchObject({ value: null });
  });

  test('what is behind the end of a shorter model is left out', () => {
    const table = SUNSPEC_MODELS.get(203)!;
    const names = decodeModel(table, wordsOf(vectorOf(203)).slice(0, 39)).map(({ name }) => name);
    expect(names.at(-1)).toBe('PF_SF');
    expect(decodeModel(table, [])).toEqual([]);
  });

  test('registers of any content give values or reasons, never more than there are registers', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SUNSPEC_MODELS.keys()),
        fc.array(fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0x8000, 0xffff, 0x7fff)), { maxLength: 400 }),
        (model, words) => {
          const found = decodeModel(SUNSPEC_MODELS.get(model)!, words);
          expect(found.length).toBeLessThanOrEqual(words.length);
          for (const { value, text, reason } of found) {
            expect(value === null && text === null).toBe(reason !== null);
            expect(value === null || Number.isFinite(value)).toBe(true);
          }
        },
      ),
    );
  });
});

describe('the chain', () => {
  const device = (words: readonly number[], at: number) => async (address: number, count: number) =>
    Array.from({ length: count }, (_, i) => words[address - at + i] ?? 0);

  test('a model that claims more than there can be is read to a limit, and the walk ends', async () => {
    const read = device([0x5375, 0x6e53, 160, 0xffff], 0);
    const models = await findModels(read, [0]);
    expect(models).toEqual([{ id: 160, address: 2, length: 0xffff }]);
    expect((await readModel(read, models[0]!, 100)).length).toBeLessThanOrEqual(2_000);
  });

  test('whatever a device answers, the walk ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(0xffff), { maxLength: 300 }), async (words) => {
        const models = await findModels(device([0x5375, 0x6e53, ...words], 40_000), [40_000]);
        expect(models.length).toBeLessThanOrEqual(MODELS_MAX);
        for (const { address, length } of models) expect(address + length).toBeLessThanOrEqual(40_000 + 0x1_0000 * 2);
      }),
    );
  });
});

describe('a device that nobody described', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  /** A chain of the vectors' models at a base. */
  async function servedChain(base: number, models: readonly number[]): Promise<number> {
    const bodies = models.flatMap((model) => wordsOf(vectorOf(model)));
    const words = [0x5375, 0x6e53, ...bodies, 0xffff, 0];
    const server = await serve({
      1: (pdu) => {
        const view = new DataView(pdu.buffer, pdu.byteOffset);
        const [from, count] = [view.getUint16(1) - base, view.getUint16(3)];
        if (pdu[0] !== 3) return Uint8Array.of(pdu[0]! | 0x80, 1);
        if (from < 0 || from + count > words.length) return Uint8Array.of(0x83, 2);
        return Uint8Array.of(
          3,
          2 * count,
          ...words.slice(from, from + count).flatMap((word) => [word >> 8, word & 0xff]),
        );
      },
    });
    closing.push(() => server.close());
    return server.port;
  }

  async function probed(port: number, profile: Profile): Promise<Probe> {
    const site = siteOn(port, { it: `profile: ${profile.name}, unitId: 1, role: grid-meter` });
    const owner = ownerOf(site.buses[0]!, [profile.line], { clock, log: SILENT });
    closing.push(() => owner.stop());
    await new Promise<void>((resolve) => {
      owner.onConnected(resolve);
      owner.start();
    });
    return probeDevice(owner, site.devices[0]!, profile);
  }

  test.each([0, 40_000, 50_000])('probe shows every point of every model, base %i', async (base) => {
    const models = [1, 103, 120, 123, 160, 701, 705, 714, 802];
    const probe = await probed(await servedChain(base, models), loadProfile('sunspec/inverter-three-phase'));
    expect(probe.failure).toBe(null);
    expect(probe.models.map(({ id }) => id)).toEqual(models);
    for (const { id, values } of probe.models) {
      expect(values.map(({ name }) => name)).toEqual(Object.keys(vectorOf(id).values));
    }
  });

  test.each([
    ['sunspec/inverter-single-phase', [1, 101], 'generationPowerW', 'W'],
    ['sunspec/inverter-single-phase', [1, 112], 'frequencyHz', 'Hz'],
    ['sunspec/inverter-three-phase', [1, 113], 'temperatureDegC', 'TmpCab'],
    ['sunspec/inverter-three-phase', [1, 701, 702], 'voltageL2V', 'VL2'],
    ['sunspec/wind-inverter', [1, 102], 'frequencyHz', 'Hz'],
    ['sunspec/meter-three-phase', [1, 201], 'gridPowerW', 'W'],
    ['sunspec/meter-three-phase', [1, 204], 'gridPowerL1W', 'WphA'],
    ['sunspec/meter-three-phase', [1, 214], 'gridPowerL3W', 'WphC'],
    ['sunspec/meter-three-phase', [1, 211], 'gridPowerW', 'W'],
    ['sunspec/battery', [1, 103, 124], 'batteryPowerW', 'W'],
    ['sunspec/battery', [1, 111, 802], 'batteryPowerW', 'W'],
  ])('%s reads models %j', async (name, models, measurand, point) => {
    const given = loadProfile(name);
    const found = given.points.get(measurand)!;
    const wide = { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY, ratePerSecond: null };
    const points = new Map([[measurand, { ...found, plausible: wide }]]);
    const probe = await probed(await servedChain(40_000, models), { ...given, points });
    const expected = models
      .map((model) => vectorOf(model).values[point])
      .find((value) => value !== undefined) as number;
    const value = measurand === 'generationPowerW' ? Math.max(0, expected) : expected;
    expect(probe.points[0]!.value).toBeCloseTo(value, 6);
  });

  test('a point behind the end of a shorter model is none, and never the next model', async () => {
    const { points } = loadProfile('sunspec/inverter-three-phase');
    const part = points.get('temperatureDegC')!.parts[0]!;
    const words = (_table: string, address: number): number => address;
    const layout = (length: number) => new Map([[103, { address: 40_070, length }]]);
    expect(decodePart(part, words, layout(30))).toEqual({ reason: "the device's SunSpec model 103 ends before 33" });
    expect(decodePart(part, words, layout(34))).toEqual({ reason: "the device's SunSpec model 103 ends before 37" });
    expect(partAt(part, layout(50)).model).toBe(103);
  });

  test('is read by the field bus as by probe', async () => {
    const profile = loadProfile('sunspec/meter-three-phase');
    const port = await servedChain(0, [1, 213]);
    const fieldbus = fieldbusOf(siteOn(port, { it: `profile: ${profile.name}, unitId: 1, role: grid-meter` }), [
      profile,
    ]);
    closing.push(() => fieldbus.stop());
    await fieldbus.start();
    await expect.poll(() => fieldbus.readings('it').get('gridPowerW')?.quality).toBe('good');
    expect(fieldbus.readings('it').get('gridPowerW')?.value).toBeCloseTo(vectorOf(213).values.W as number, 6);
  });
});

test('whatever a profile reads in a SunSpec model is a point of it, of that type and with that scale factor', () => {
  for (const name of profileNames()) {
    const profile = loadProfile(name);
    const controls = [...profile.controls.values()].flatMap(({ write, release, watchdog }) => [
      ...[...write, ...release].map((step) => step.part),
      ...(watchdog?.kind === 'register' ? [watchdog.part] : []),
    ]);
    for (const part of [...[...profile.points.values()].flatMap((point) => point.parts), ...controls]) {
      const table = SUNSPEC_MODELS.get(part.model ?? 0);
      if (table === undefined) continue;
      const groupsFrom = table.body.items.findIndex((item) => 'items' in item);
      const last = table.body.items[groupsFrom - 1];
      if (last !== undefined && !('items' in last) && part.address > sunspecPoint(part.model!, last.name)!.offset)
        continue;
      const point = table.body.items.flatMap((item) =>
        'items' in item ? [] : [sunspecPoint(part.model!, item.name)!],
      );
      const here = point.find(({ offset }) => offset === part.address);
      expect(here?.field.data, `${name}: model ${part.model} offset ${part.address}`).toBe(part.type);
      const scale = here?.field.scale ?? null;
      const scaleAt = scale === null ? null : sunspecPoint(part.model!, scale)!.offset;
      expect(part.scaleRegister?.address ?? null, `${name}: scale of model ${part.model} ${here?.field.name}`).toBe(
        scaleAt,
      );
    }
  }
});
