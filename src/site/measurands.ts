// The canonical measurands and controls: what a profile may map a register to, with unit and sign.
// Signs are the house's: grid + import, battery + discharging, generation and consumption >= 0.

export type Unit = 'W' | 'Wh' | 'V' | 'A' | 'Hz' | '%' | 'degC' | 'var' | 'VA' | 'none';

export interface MeasurandInfo {
  readonly unit: Unit;
  readonly meaning: string;
  /** A counter only rises (but for reset and rollover). */
  readonly counter?: true;
}

const PHASES = ['L1', 'L2', 'L3'] as const;

function perPhase(name: (phase: string) => string, unit: Unit, meaning: string): [string, MeasurandInfo][] {
  return PHASES.map((phase) => [name(phase), { unit, meaning: `${meaning}, phase ${phase}` }]);
}

export const MEASURANDS: Readonly<Record<string, MeasurandInfo>> = Object.fromEntries<MeasurandInfo>([
  ['gridPowerW', { unit: 'W', meaning: 'power at a meter, + import, - export' }],
  ...perPhase((phase) => `gridPower${phase}W`, 'W', 'power at a meter, + import'),
  ['importEnergyWh', { unit: 'Wh', meaning: 'energy imported through a meter', counter: true }],
  ['exportEnergyWh', { unit: 'Wh', meaning: 'energy exported through a meter', counter: true }],
  ['generationPowerW', { unit: 'W', meaning: 'AC power of a generator, >= 0' }],
  ['generationEnergyWh', { unit: 'Wh', meaning: 'AC energy of a generator', counter: true }],
  ['batteryPowerW', { unit: 'W', meaning: 'AC power of a battery, + discharging' }],
  ['batteryChargeEnergyWh', { unit: 'Wh', meaning: 'energy charged', counter: true }],
  ['batteryDischargeEnergyWh', { unit: 'Wh', meaning: 'energy discharged', counter: true }],
  ['stateOfChargePercent', { unit: '%', meaning: 'state of charge of a battery' }],
  ['chargePowerMaxW', { unit: 'W', meaning: 'live limit of charging from the battery management' }],
  ['dischargePowerMaxW', { unit: 'W', meaning: 'live limit of discharging from the battery management' }],
  ['consumptionPowerW', { unit: 'W', meaning: 'power of a load, >= 0' }],
  ['consumptionEnergyWh', { unit: 'Wh', meaning: 'energy of a load', counter: true }],
  ...perPhase((phase) => `voltage${phase}V`, 'V', 'voltage to neutral'),
  ...perPhase((phase) => `current${phase}A`, 'A', 'current'),
  ['frequencyHz', { unit: 'Hz', meaning: 'grid frequency' }],
  ['reactivePowerVar', { unit: 'var', meaning: 'reactive power' }],
  ['apparentPowerVa', { unit: 'VA', meaning: 'apparent power' }],
  ['powerFactor', { unit: 'none', meaning: 'power factor' }],
  ['temperatureDegC', { unit: 'degC', meaning: 'temperature' }],
  ['operatingState', { unit: 'none', meaning: 'operating state as the device codes it' }],
  ...Array.from({ length: 16 }, (_, i): [string, MeasurandInfo] => [
    `switch${i + 1}`,
    { unit: 'none', meaning: `state of output ${i + 1}: 1 on, 0 off` },
  ]),
]);

export const CONTROLS: Readonly<Record<string, MeasurandInfo>> = Object.fromEntries<MeasurandInfo>([
  ['batterySetpointW', { unit: 'W', meaning: 'power the battery shall deliver, + discharging, - charging' }],
  ['generationLimitW', { unit: 'W', meaning: 'most AC power a generator may deliver' }],
  ['consumptionSetpointW', { unit: 'W', meaning: 'power a modulating load shall take' }],
  ...Array.from({ length: 16 }, (_, i): [string, MeasurandInfo] => [
    `switch${i + 1}`,
    { unit: 'none', meaning: `output ${i + 1}: 1 on, 0 off` },
  ]),
]);
