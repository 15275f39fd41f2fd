// Devices for tests: profiles served over loopback with the simulator's server, and a clock and store to go with them.

import type { Clock } from '../../src/base/clock.ts';
import { SILENT } from '../../src/base/log.ts';
import { createFieldbus } from '../../src/fieldbus/fieldbus.ts';
import { createImage, type Image } from '../../src/fieldbus/image.ts';
import type { Fieldbus, LeaseRecord, LeaseStore } from '../../src/fieldbus/types.ts';
import { answerPdu, EXCEPTION } from '../../src/simulator/modbus/pdu.ts';
import { type AnswerUnit, serveTcp, type TcpBusServer } from '../../src/simulator/modbus/server.ts';
import { parseSite } from '../../src/site/parse.ts';
import type { Profile, SiteFile } from '../../src/site/types.ts';

export const clock: Clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };

export interface Served {
  readonly image: Image;
  /** Requests seen: PDUs in hex. */
  readonly seen: string[];
  /** Answers in place of the image's: null is silence, undefined lets the image answer. */
  intercept: ((pdu: Uint8Array) => Uint8Array | null | undefined) | null;
}

export function served(profile: Profile, ratedW: number | null = 10_000): Served & { readonly answer: AnswerUnit } {
  const image = createImage(profile, { ratedW });
  const device: Served & { answer: AnswerUnit } = {
    image,
    seen: [],
    intercept: null,
    answer(pdu) {
      device.seen.push(Buffer.from(pdu).toString('hex'));
      const other = device.intercept?.(pdu);
      return other === undefined ? answerPdu(unit, pdu) : other;
    },
  };
  const unit = {
    readBits(table: 'coil' | 'discrete', address: number, count: number) {
      return image.read(table, address, count)?.map(Boolean) ?? EXCEPTION.illegalAddress;
    },
    readRegisters(table: 'holding' | 'input', address: number, count: number) {
      const words = image.read(table, address, count);
      return words === null ? EXCEPTION.illegalAddress : Uint16Array.from(words);
    },
    writeCoils: (address: number, values: readonly boolean[]) =>
      image.write('coil', address, values.map(Number)) === null ? EXCEPTION.illegalAddress : 0,
    writeRegisters: (address: number, values: Uint16Array) =>
      image.write('holding', address, [...values]) === null ? EXCEPTION.illegalAddress : 0,
  };
  return device;
}

export function serve(units: Record<number, AnswerUnit>, framing: 'tcp' | 'rtu' = 'tcp'): Promise<TcpBusServer> {
  const entries = Object.entries(units).map(([id, answer]): [number, AnswerUnit] => [Number(id), answer]);
  return serveTcp(new Map(entries), { host: '127.0.0.1', port: 0, framing, clock });
}

/** A site with the given devices on one bus. */
export function siteOn(
  port: number,
  devices: Record<string, string>,
  extra = '',
  kind: 'tcp' | 'rtu-over-tcp' = 'tcp',
): SiteFile {
  const lines = Object.entries(devices).map(([id, text]) => `  ${id}: { bus: one, ${text} }`);
  return parseSite(
    `version: 1
id: site
name: Site
location: { latitude: 48, longitude: 11 }
timezone: Europe/Berlin
connection: { phases: 3, ampsPerPhase: 35, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 0 } }
buses:
  one: { kind: ${kind}, host: 127.0.0.1, port: ${port} }
devices:
${lines.join('\n')}
contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 }
${extra}`,
    'site.yaml',
  );
}

export function memoryLeases(initial: readonly LeaseRecord[] = []): LeaseStore & { readonly saved: LeaseRecord[] } {
  const records = new Map(initial.map((record) => [`${record.device}/${record.control}`, record]));
  const saved: LeaseRecord[] = [];
  const writes: { readonly key: string; readonly atMs: number }[] = [];
  return {
    saved,
    save(record) {
      saved.push(record);
      records.set(`${record.device}/${record.control}`, record);
    },
    remove: (device, control) => void records.delete(`${device}/${control}`),
    all: () => [...records.values()],
    countWrite: (device, control, atMs) => void writes.push({ key: `${device}/${control}`, atMs }),
    writesSince: (device, control, sinceMs) =>
      writes.filter(({ key, atMs }) => key === `${device}/${control}` && atMs > sinceMs).map(({ atMs }) => atMs),
  };
}

/** Periods so short that a test need not wait. */
export const QUICK = { fast: 40, medium: 80, slow: 400 };

export function fieldbusOf(
  site: SiteFile,
  profiles: readonly Profile[],
  leases: LeaseStore = memoryLeases(),
  at: Clock = clock,
): Fieldbus {
  const byName = new Map(profiles.map((profile) => [profile.name, profile]));
  return createFieldbus({ site, profiles: byName, clock: at, leases, log: SILENT, periods: QUICK });
}
