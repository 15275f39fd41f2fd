// The canonical measurands and controls: what a profile may map a register to, with unit and sign.
// Signs are the house's: grid + import, battery + discharging, generation and consumption >= 0.

export type Unit = 'W' | 'Wh' | 'V' | 'A' | 'Hz' | '%' | 'degC' | 'var' | 'VA' | 'none';

export interface MeasurandInfo {
  readonly unit: Unit;
  readonly meaning: string;
  /** A counter only rises (but for reset and rollover). */
  readonly counter?: true;
  /** It has a direction, and a profile must say which one its device counts as positive: the house's word, the opposite. */
  readonly directions?: readonly [house: string, opposite: string];
  /** How often it is wanted unless a profile says otherwise. */
  readonly poll: 'fast' | 'medium' | 'slow' | 'once';
  /** Outside of this it is damage, whatever the device; a profile says it tighter. */
  readonly plausible: readonly [min: number, max: number];
}

const PHASES = ['L1', 'L2', 'L3'] as const;
/** Outputs of a relay board, and batteries' or loads' powers: wide bounds for any site behind one connection. */
const SWITCHES_MAX = 16;
const POWER: readonly [number, number] = [-100_000_000, 100_000_000];
const POSITIVE_POWER: readonly [number, number] = [0, 100_000_000];
const ENERGY: readonly [number, number] = [0, 1e15];
const GRID = ['import', 'export'] as const;
const BATTERY = ['discharging', 'charging'] as const;

type Entry = [string, MeasurandInfo];

function power(name: string, meaning: string, directions?: readonly [string, string]): Entry {
  const signed = directions === undefined ? { plausible: POSITIVE_POWER } : { plausible: POWER, directions };
  return [name, { unit: 'W', meaning, poll: 'fast', ...signed }];
}

function counter(name: string, meaning: string): Entry {
  return [name, { unit: 'Wh', meaning, counter: true, poll: 'medium', plausible: ENERGY }];
}

function slow(name: string, unit: Unit, meaning: string, min: number, max: number, poll: MeasurandInfo['poll']): Entry {
  return [name, { unit, meaning, poll, plausible: [min, max] }];
}

function perPhase(entry: (phase: string) => Entry): Entry[] {
  return PHASES.map(entry);
}

const SWITCHES = Array.from({ length: SWITCHES_MAX }, (_, i) =>
  slow(`switch${i + 1}`, 'none', `output ${i + 1}: 1 on, 0 off`, 0, 1, 'medium'),
);

export const MEASURANDS: Readonly<Record<string, MeasurandInfo>> = Object.fromEntries<MeasurandInfo>([
  power('gridPowerW', 'power at a meter, + import, - export', GRID),
  ...perPhase((phase) => power(`gridPower${phase}W`, `power at a meter, + import, phase ${phase}`, GRID)),
  counter('importEnergyWh', 'energy imported through a meter'),
  counter('exportEnergyWh', 'energy exported through a meter'),
  // A generator at rest takes a little: its profile may read below 0, and the field bus shows 0.
  ['generationPowerW', { unit: 'W', meaning: 'AC power of a generator, >= 0', poll: 'fast', plausible: POWER }],
  counter('generationEnergyWh', 'AC energy of a generator'),
  power('batteryPowerW', 'power of a battery, + discharging', BATTERY),
  counter('batteryChargeEnergyWh', 'energy charged'),
  counter('batteryDischargeEnergyWh', 'energy discharged'),
  slow('stateOfChargePercent', '%', 'state of charge of a battery', 0, 100, 'medium'),
  slow('chargePowerMaxW', 'W', 'live limit of charging from the battery management', 0, 1e8, 'medium'),
  slow('dischargePowerMaxW', 'W', 'live limit of discharging from the battery management', 0, 1e8, 'medium'),
  power('consumptionPowerW', 'power of a load, >= 0'),
  counter('consumptionEnergyWh', 'energy of a load'),
  ...perPhase((phase) => slow(`voltage${phase}V`, 'V', `voltage to neutral, phase ${phase}`, 0, 1_000, 'medium')),
  ...perPhase((phase) => slow(`current${phase}A`, 'A', `current, phase ${phase}`, -10_000, 10_000, 'medium')),
  slow('frequencyHz', 'Hz', 'grid frequency', 0, 70, 'medium'),
  slow('reactivePowerVar', 'var', 'reactive power', -1e8, 1e8, 'medium'),
  slow('apparentPowerVa', 'VA', 'apparent power', -1e8, 1e8, 'medium'),
  slow('powerFactor', 'none', 'power factor', -1, 1, 'medium'),
  slow('temperatureDegC', 'degC', 'temperature', -60, 200, 'slow'),
  slow('operatingState', 'none', 'operating state as the device codes it', 0, 0xffff_ffff, 'medium'),
  slow('ratedPowerW', 'W', 'nameplate AC power', 0, 1e8, 'once'),
  ...SWITCHES,
]);

export const CONTROLS: Readonly<Record<string, MeasurandInfo>> = Object.fromEntries<MeasurandInfo>([
  power('batterySetpointW', 'power the battery shall deliver, + discharging, - charging', BATTERY),
  power('generationLimitW', 'most AC power a generator may deliver'),
  power('consumptionSetpointW', 'power a modulating load shall take'),
  ...SWITCHES,
]);
