// What profiles and site files are once they have been read: every default filled in, every reference checked.
// Owns the types only. How the YAML is written: profile-schema.ts and site-schema.ts; how it is read: parse.ts.

import type { Millis, UcPerWh, WattHours, Watts } from '../base/units.ts';

export type Phase = 'L1' | 'L2' | 'L3';

// ---------------------------------------------------------------------------------------------- profiles

export type Table = 'holding' | 'input' | 'coil' | 'discrete';
export type DataType = 'u16' | 's16' | 'u32' | 's32' | 'u64' | 's64' | 'f32' | 'f64' | 'string' | 'bcd' | 'bit';
export type Order = 'big' | 'little';

/** Where a value begins: a protocol address (counted from 0), or an offset from the start of a SunSpec model (its ID register is 0). */
export interface Place {
  readonly table: Table;
  readonly model: number | null;
  readonly address: number;
}

/** A value in registers or coils: raw = registers, value = (raw * scale * 10^scale register + offset) * times. */
export interface Part extends Place {
  readonly type: DataType;
  /** Registers (or coils) it takes. */
  readonly length: number;
  readonly byteOrder: Order;
  readonly wordOrder: Order;
  readonly scale: number;
  readonly offset: number;
  /** A signed 16-bit register with a power of ten, read again with the value since some devices change it live. */
  readonly scaleRegister: Place | null;
  /** Raw values (unsigned) that mean `not there`. NaN always does. */
  readonly sentinels: readonly bigint[];
  /** Only these bits of the raw value count. */
  readonly bits: { readonly from: number; readonly count: number } | null;
  /** Factor inside a sum: -1 subtracts. */
  readonly times: number;
  /** Where it is on devices that lack this one's SunSpec model. */
  readonly or?: Part;
}

/** How often a point is read: power every second, counters and states every ten, temperature every minute, identity once. */
export type Poll = 'fast' | 'medium' | 'slow' | 'once';

export interface CounterTraits {
  /** Smallest step that the counter shows, in Wh. A float32 counter gets coarser as it grows; metering accounts for that. */
  readonly resolutionWh: WattHours;
  /** The counter starts again from 0 after this value; null: never in practice. */
  readonly rolloverWh: WattHours | null;
  readonly reset: 'never' | 'daily' | 'on-request';
  /** Import and export of the phases: netted before they are counted, or each phase counted on its own. */
  readonly phases: 'netted' | 'each' | 'unknown';
}

export interface Point {
  /** Canonical measurand (measurands.ts). */
  readonly measurand: string;
  /** The value is the sum of these. */
  readonly parts: readonly Part[];
  /** -1 when the device's sign is opposite to the house's. */
  readonly turn: 1 | -1;
  readonly poll: Poll;
  readonly plausible: { readonly min: number; readonly max: number; readonly ratePerSecond: number | null };
  readonly counter: CounterTraits | null;
  /** Only on devices whose firmware (identity) is within these, both inclusive; null: any. */
  readonly firmware: { readonly from: string | null; readonly to: string | null } | null;
  /** Registers of all points of a group come from one request. */
  readonly group: string | null;
  readonly note: string | null;
}

/** One register write of a control. */
export interface WriteStep {
  readonly part: Part;
  /**
   * `constant`: that number. `value`: the control's value in the device's sign. `magnitude`: without its sign. `positive`, `negative`: the value on that side
   * (as a magnitude), 0 on the other. `bySign`: a number for each sign.
   */
  readonly carries:
    | { readonly kind: 'constant'; readonly value: number }
    | { readonly kind: 'value' | 'magnitude' | 'positive' | 'negative' }
    | { readonly kind: 'bySign'; readonly positive: number; readonly negative: number; readonly zero: number };
  /** The number written is a percentage of this measurand's last value, or of the device's rated power when it has none. */
  readonly percentOf: string | null;
  /** Where it is read back; null: not readable. */
  readonly readBack: Part | null;
}

/** How a device forgets a control by itself. */
export type Watchdog =
  /** Within this time of the last write. */
  | { readonly kind: 'fixed'; readonly timeoutMs: Millis }
  /** After a time that is written with every renewal (`part` in seconds after scaling). */
  | { readonly kind: 'register'; readonly part: Part; readonly minMs: Millis; readonly maxMs: Millis };

export interface Control {
  /** Canonical control (measurands.ts). */
  readonly control: string;
  readonly write: readonly WriteStep[];
  /** Gives the device back to its own automatic mode. Empty: the revert value is written instead. */
  readonly release: readonly WriteStep[];
  /** -1 when the device's sign is opposite to the house's. */
  readonly turn: 1 | -1;
  /** Limits of the value, house's unit and sign. The site file's ratings bind as well. */
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** Value that the control returns to when it is released; null: the device's rated power. */
  readonly revert: number | null;
  readonly storage: 'volatile' | 'eeprom';
  /** Writes a day that an EEPROM register is given. */
  readonly dailyWrites: number;
  readonly watchdog: Watchdog | null;
  readonly failsafe: 'watchdog' | 'none';
  /** Tolerance of the read-back, in the unit of what is written. */
  readonly tolerance: number;
  readonly note: string | null;
}

/** Registers that tell what the device is. A text must match `equals` (whole) or `startsWith`; a number must equal one of `oneOf`. */
export interface Identification {
  readonly what: 'maker' | 'model' | 'serial' | 'firmware' | 'check';
  readonly part: Part;
  readonly equals: string | null;
  readonly startsWith: string | null;
  readonly oneOf: readonly number[];
  readonly within: { readonly min: number; readonly max: number } | null;
  /** Speaks for the profile when it fits, and against nothing when it does not: not every firmware shows it. */
  readonly optional: boolean;
}

/** A recorded or computed exchange: request and response PDUs (without address and checksum) in hex, and the values that follow. */
export interface GoldenFrame {
  readonly request: string;
  readonly response: string;
  readonly values: Readonly<Record<string, number>>;
}

/** How a device wants to be talked to. */
export interface LineTraits {
  readonly transports: readonly ('tcp' | 'rtu' | 'rtu-over-tcp')[];
  readonly unitId: number;
  readonly serial: { readonly baud: number; readonly parity: Parity; readonly stopBits: 1 | 2 };
  readonly timeoutMs: Millis;
  readonly registersMax: number;
  readonly holeMax: number;
  /** Pause before each request to this device. */
  readonly gapMs: Millis;
  readonly connectDelayMs: Millis;
  readonly afterWriteMs: Millis;
  readonly connectionsMax: number;
  readonly inFlightMax: number;
  /** `multiple`: FC 16 (and 15); `single`: FC 6 (and 5) for one register or coil. */
  readonly writes: 'single' | 'multiple';
}

export type ProfileKind = 'meter' | 'pv' | 'wind' | 'battery' | 'hybrid' | 'relay' | 'charger' | 'heat-pump' | 'sensor';

export interface Profile {
  /** As site files name it: `<maker>/<model>`. */
  readonly name: string;
  readonly maker: string;
  readonly model: string;
  readonly kind: ProfileKind;
  readonly phases: 1 | 3 | null;
  readonly verified: 'documented' | 'captured' | 'hardware';
  readonly sources: readonly string[];
  readonly line: LineTraits;
  /** SunSpec: where the chain may begin and, for serving it as a device, which models stand in it with which length. */
  readonly sunspec: {
    readonly bases: readonly number[];
    readonly models: readonly { readonly id: number; readonly length: number }[];
  } | null;
  readonly identify: readonly Identification[];
  readonly points: ReadonlyMap<string, Point>;
  readonly controls: ReadonlyMap<string, Control>;
  /** Registers with a fixed content when the profile is served as a device (SunSpec scale factors, texts). */
  readonly served: readonly { readonly part: Part; readonly value: number | string }[];
  readonly frames: readonly GoldenFrame[];
  readonly notes: string | null;
}

// -------------------------------------------------------------------------------------------- site files

export type Parity = 'none' | 'even' | 'odd';

export interface SerialBus {
  readonly id: string;
  readonly kind: 'rtu';
  /** A stable name: `/dev/serial/by-id/...`. */
  readonly path: string;
  readonly baud: number;
  readonly parity: Parity;
  readonly stopBits: 1 | 2;
}

export interface NetworkBus {
  readonly id: string;
  readonly kind: 'tcp' | 'rtu-over-tcp';
  readonly host: string;
  readonly port: number;
  /** Lets other masters share the bus's devices through a port of ours; null: off. */
  readonly share: { readonly host: string; readonly port: number; readonly writes: boolean } | null;
}

export type Bus = SerialBus | NetworkBus;

export type Role = 'grid-meter' | 'meter' | 'pv' | 'wind' | 'battery' | 'hybrid' | 'load' | 'relay';

export interface Device {
  readonly id: string;
  /** Name of its profile. */
  readonly profile: string;
  readonly bus: string;
  readonly unitId: number;
  readonly role: Role;
  /** Phases it is on; a meter: that it measures. */
  readonly phases: readonly Phase[];
  /** Nameplate AC power; null when it does not matter (meters, relays). */
  readonly ratedW: Watts | null;
  /** Meter tree: devices (and meters) whose power this meter sees. The grid meter covers everything. */
  readonly covers: readonly string[];
  /** The owner lets the gateway hold this generator back. Needs a profile with `generationLimitW`. */
  readonly curtailable: boolean;
  /** For deliveries: serial number and current transformers. */
  readonly meter: {
    readonly serial: string;
    readonly ctRatio: { readonly primaryA: number; readonly secondaryA: number };
  } | null;
  /** Factor from what the device shows to what flows, for a meter whose register does not know its current transformers. */
  readonly ctFactor: number;
}

/** `never`: stored energy stays at home. `own-generation`: only what was charged from own generation may leave. `yes`: it may be traded. */
export type BatteryExport = 'never' | 'own-generation' | 'yes';

/** A limit of power at a state of charge; between two points it is linear, outside them constant. */
export interface TaperPoint {
  readonly percent: number;
  readonly powerW: Watts;
}

/** A battery as plan and control see it. */
export interface Battery {
  readonly id: string;
  /** Energy between 0 and 100 %. */
  readonly capacityWh: WattHours;
  /** Most power at the AC terminals, both >= 0. */
  readonly chargeLimitW: Watts;
  readonly dischargeLimitW: Watts;
  /** Tighter limits near full and near empty; empty = none. Concave: as batteries taper. */
  readonly chargeTaper: readonly TaperPoint[];
  readonly dischargeTaper: readonly TaperPoint[];
  /** Stored per AC energy taken, and AC energy given per stored; (0, 1]. */
  readonly chargeEfficiency: number;
  readonly dischargeEfficiency: number;
  /** Lost from the store at all times. */
  readonly standingLossW: Watts;
  /** Wear of each Wh that passes through the store, half of it when charged and half when discharged: price / (cycle life x capacity). */
  readonly cycleCostUcPerWh: UcPerWh;
  /** Below this the battery is never discharged by economy or trades. */
  readonly reservePercent: number;
  readonly export: BatteryExport;
}

/** A battery behind a device with `batterySetpointW`. */
export interface Storage extends Battery {
  readonly device: string;
  /** How it follows a set-point: time constant, smallest power, resolution. */
  readonly lagMs: Millis;
  readonly deadBandW: Watts;
  readonly stepW: Watts;
  /** False: its profile names no watchdog, so that it is left to itself (parse.ts): neither planned nor offered nor driven. */
  readonly driven: boolean;
}

/** A load that the gateway may move. */
export interface SiteLoad {
  readonly id: string;
  readonly device: string;
  /** Control that drives it: `switchN` of a relay, or `consumptionSetpointW`. */
  readonly control: string;
  readonly kind: 'switch' | 'modulating' | 'program' | 'sg-ready';
  /** Second contact of a heat pump by SG-ready states, on the same device (sg-ready.ts); null for every other kind. */
  readonly block: string | null;
  readonly ratedW: Watts;
  /** Powers it can run at when on, rising. A plain switch has one: its rated power. SG-ready: what states 3 and 4 add to the pump's own running. */
  readonly powersW: readonly Watts[];
  readonly phases: readonly Phase[];
  readonly minOnMs: Millis;
  readonly minOffMs: Millis;
  readonly sheddable: boolean;
  /** What it needs each day, local time of the site `HH:MM`; null: it is only shed, never planned. A program: `energyWh` null, it runs once. */
  readonly need: { readonly energyWh: WattHours | null; readonly from: string; readonly until: string } | null;
}

export interface Customer {
  readonly id: string;
  readonly name: string;
}

export interface Connection {
  readonly phases: readonly Phase[];
  readonly ampsPerPhase: number;
  readonly voltageV: number;
  readonly importLimitW: Watts;
  readonly exportLimitW: Watts;
  /** In force while the operator cannot be reached. */
  readonly defaultLimit: { readonly importW: Watts; readonly exportW: Watts };
}

export interface ContractTerms {
  /** Nothing is sold below, nothing is bought above. */
  readonly floorUcPerWh: UcPerWh;
  readonly ceilingUcPerWh: UcPerWh;
  /** Quantile of the forecast that is offered: 0.5 is the median; null: what the imbalance prices make best. */
  readonly riskQuantile: number | null;
  /** Confirmations wanted, when more than 51 %; null: 51 %. */
  readonly quorumAtLeast: number | null;
}

export interface MarketAccess {
  /** Paths as written; load.ts resolves them against the site file's folder. */
  readonly genesis: string;
  /** SHA-256 of the genesis that the gateway was installed with; null: trust the file. */
  readonly genesisHash: string | null;
  readonly brokers: readonly string[];
  readonly key: string;
  readonly dataDir: string;
}

export interface SiteFile {
  readonly id: string;
  readonly name: string;
  readonly location: { readonly latitude: number; readonly longitude: number };
  readonly timezone: string;
  /** Local dates `YYYY-MM-DD` that are lived like a Sunday. */
  readonly holidays: readonly string[];
  readonly connection: Connection;
  readonly buses: readonly Bus[];
  readonly devices: readonly Device[];
  readonly storage: readonly Storage[];
  readonly loads: readonly SiteLoad[];
  readonly customers: readonly Customer[];
  readonly contract: ContractTerms;
  /** Where forecasts of the weather come from; null: nowhere, and none are needed. */
  readonly weather: { readonly source: 'open-meteo'; readonly url: string | null } | null;
  /** Null: a site that is only measured. */
  readonly market: MarketAccess | null;
}

/** A site file with the profiles that it names. */
export interface LoadedSite {
  readonly file: string;
  readonly site: SiteFile;
  readonly profiles: ReadonlyMap<string, Profile>;
}
