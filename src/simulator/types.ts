// What the rest of the project sees of a virtual site: how to make one, its truth, and its faults.

import type { Clock } from '../base/clock.ts';
import type { Millis, WattHours, Watts } from '../base/units.ts';
import type { Profile, SiteFile } from '../site/types.ts';
import type { Series } from './physics/series.ts';

/** Which measured series drives what: device id for generators, `consumption` for the loads that are not devices. */
export interface SiteSeries {
  /** Available AC power of each generator, by device id. */
  readonly generation: ReadonlyMap<string, Series>;
  /** Consumption of the site besides its switched loads and the devices' own use. */
  readonly consumption: Series | null;
}

/** What real measuring adds to the truth. All zero by default. */
export interface MeasuringErrors {
  /** Age of what a meter shows, ms of wall time. */
  readonly meterDelayMs: Millis;
  /** Standard deviation of a shown power, as a fraction of its value. */
  readonly powerNoise: number;
  /** Steps of the energy counters at the grid connection; the profile's own resolution comes on top. */
  readonly counterResolutionWh: WattHours;
}

export interface VirtualSiteOptions {
  readonly site: SiteFile;
  /** Profiles by the name the site file uses. */
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly series: SiteSeries;
  readonly clock: Clock;
  /** Seed of everything random (noise). */
  readonly seed?: number;
  readonly initialStateOfChargePercent?: number;
  /** Time constant of inverters, ms of wall time; as the site's storage declares unless given. */
  readonly inverterLagMs?: Millis;
  readonly measuring?: Partial<MeasuringErrors>;
  /** Address to listen on; loopback unless said otherwise. */
  readonly host?: string;
  /** TCP ports by bus id; a free one where none is given. */
  readonly ports?: ReadonlyMap<string, number>;
  /** Told of each command that a master gives: null gives the device back to itself. */
  readonly onCommand?: (device: string, control: string, value: number | null) => void;
  /** Serial devices to serve a serial bus on (our end of a pty pair), by bus id. Without one it is served as RTU over TCP. */
  readonly serialPaths?: ReadonlyMap<string, string>;
}

/** Where a bus of the site is served: TCP (also for RTU over TCP), or a serial device. */
export type BusAddress =
  | { readonly kind: 'tcp' | 'rtu-over-tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'rtu'; readonly path: string };

/** A device that misbehaves. `silent`, `exception` and `delay` are of the line, the others of the values. */
export type DeviceFault =
  | { readonly kind: 'silent' }
  | { readonly kind: 'exception'; readonly code: number }
  | { readonly kind: 'delay'; readonly delayMs: Millis }
  /** Measurands keep the value they have now; all of them when none is named. */
  | { readonly kind: 'freeze'; readonly measurands?: readonly string[] };

/** The truth about one battery. */
export interface BatteryTruth {
  readonly powerW: Watts;
  readonly storedWh: WattHours;
  readonly stateOfChargePercent: number;
  /** What it could take and give now. */
  readonly chargePowerMaxW: Watts;
  readonly dischargePowerMaxW: Watts;
  readonly chargeEnergyWh: WattHours;
  readonly dischargeEnergyWh: WattHours;
  /** The set-point in force, or null in its own automatic mode. */
  readonly setpointW: Watts | null;
}

export interface GeneratorTruth {
  readonly powerW: Watts;
  /** What it could deliver without a limit. */
  readonly availableW: Watts;
  readonly energyWh: WattHours;
  readonly limitW: Watts | null;
}

export interface LoadTruth {
  readonly powerW: Watts;
  readonly energyWh: WattHours;
}

/** The truth about a site at one instant: floats, not rounded to any register. Signs as base/units.ts. */
export interface SiteTruth {
  readonly atMs: Millis;
  readonly gridPowerW: Watts;
  /** L1, L2, L3; one entry at a single-phase connection. */
  readonly gridPhaseW: readonly Watts[];
  readonly consumptionPowerW: Watts;
  readonly consumptionEnergyWh: WattHours;
  /** Phases netted before they are counted, as settlement wants it. */
  readonly importEnergyWh: WattHours;
  readonly exportEnergyWh: WattHours;
  /** Each phase counted on its own and added up, as some meters do. Import less export is the same either way. */
  readonly importEachPhaseWh: WattHours;
  readonly exportEachPhaseWh: WattHours;
  readonly generators: ReadonlyMap<string, GeneratorTruth>;
  readonly batteries: ReadonlyMap<string, BatteryTruth>;
  /** Loads that can be switched or modulated, by load id. */
  readonly loads: ReadonlyMap<string, LoadTruth>;
  /** Series that have a gap here and are bridged: `consumption` or a device id. */
  readonly bridgedGaps: readonly string[];
}

export interface VirtualSite {
  /** Opens every bus; returns its address by bus id. Errors: `simulator.listen` with the address. */
  start(): Promise<ReadonlyMap<string, BusAddress>>;
  stop(): Promise<void>;
  /** The truth now. */
  state(): SiteTruth;
  /** Puts a fault on a device, or takes all its line and value faults away with null. */
  setFault(device: string, fault: DeviceFault | null): void;
  /** Loses a bus: its connections drop and no new one is answered until it is back. */
  setBusLost(bus: string, lost: boolean): void;
  /** Sets a counter a device shows (reset to 0, or just below its rollover). */
  setCounter(device: string, measurand: string, valueWh: WattHours): void;
}
