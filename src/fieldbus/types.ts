// What the rest of the gateway sees of the field bus: readings with time, age and quality, and leases on writes.

import type { Millis } from '../base/units.ts';

/** `good`: fresh and plausible. `stale`: older than the point's limit. `invalid`: sentinel, implausible, not implemented. `missing`: never read. */
export type Quality = 'good' | 'stale' | 'invalid' | 'missing';

/** One measured value in the house's unit and sign. `value` is null unless quality is `good` (or the last good one when `stale`). */
export interface Reading {
  readonly value: number | null;
  readonly quality: Quality;
  /** Why it is not good: `sentinel 0x8000`, `timeout after 1000 ms`, ... */
  readonly reason: string | null;
  /** When the device answered: chain time and monotonic time. */
  readonly atMs: Millis;
  readonly monotonicMs: Millis;
}

/** Last readings of one device, by canonical measurand. */
export type DeviceReadings = ReadonlyMap<string, Reading>;

export type LeaseState = 'active' | 'failed' | 'reverted';

/** A write that ends by itself. */
export interface Lease {
  readonly device: string;
  readonly control: string;
  readonly value: number;
  readonly revertTo: number;
  readonly state: LeaseState;
  readonly reason: string | null;
}

/** A lease as it stands on disk before the write leaves: enough to revert after a crash. */
export interface LeaseRecord {
  readonly device: string;
  readonly control: string;
  readonly value: number;
  readonly revertTo: number;
  readonly untilMs: Millis;
}

/** Where leases are kept (connected to the store by the gateway). What is saved or counted is durable when the call returns. */
export interface LeaseStore {
  save(lease: LeaseRecord): void;
  remove(device: string, control: string): void;
  all(): readonly LeaseRecord[];
  /** A write to a register that wears (EEPROM), before it leaves. Kept for a day at least. */
  countWrite(device: string, control: string, atMs: Millis): void;
  /** Times of such writes after `sinceMs`, in any order. */
  writesSince(device: string, control: string, sinceMs: Millis): readonly Millis[];
}

/** The site's field bus as the gateway drives it. */
export interface Fieldbus {
  /** Opens the buses, reverts leases left by a crash, begins polling. Devices that do not answer do not fail the start. */
  start(): Promise<void>;
  /** Reverts every lease, then closes. */
  stop(): Promise<void>;
  readings(device: string): DeviceReadings;
  /** Sets a control for `ttlMs`: limits checked, persisted, written, read back. Calling again renews or changes it. */
  lease(device: string, control: string, value: number, ttlMs: Millis): Promise<Lease>;
  release(device: string, control: string): Promise<void>;
  /** Reads the given points (all counters when empty) now, out of turn: used at interval edges. */
  refresh(device: string, measurands: readonly string[]): Promise<DeviceReadings>;
}
