// What each device of a site would show: the truth as measurands, in the house's units and signs. Pure.
// Registers, resolution and faults come after (device.ts).

import type { Device, Profile, SiteFile } from '../site/types.ts';
import type { ShownGrid } from './measuring.ts';
import { phaseIndexes } from './site-model.ts';
import type { SiteTruth } from './types.ts';

const FREQUENCY_HZ = 50;
/** Voltage falls by this share at the connection's rated current and rises as much when it exports. */
const VOLTAGE_SWING = 0.02;
const TEMPERATURE_DEG_C = 35;
/** SunSpec model 103, `St`: off, at its maximum power point, held back. */
const SUNSPEC_STATE = { off: 1, tracking: 4, throttled: 5 };

/** Energy that went one way and the other through a device, seen as a meter sees it: + import. */
interface Flow {
  readonly powerW: number;
  readonly importWh: number;
  readonly exportWh: number;
}

const NO_FLOW: Flow = { powerW: 0, importWh: 0, exportWh: 0 };

/** Every measurand that a device can have an opinion of; its profile takes those it knows. */
export function shownBy(
  site: SiteFile,
  device: Device,
  profile: Profile,
  truth: SiteTruth,
  grid: ShownGrid,
): Map<string, number> {
  const values = new Map<string, number>();
  if (device.role === 'grid-meter') {
    const each = profile.points.get('importEnergyWh')?.counter?.phases === 'each';
    const importWh = each ? grid.importEachPhaseWh : grid.importEnergyWh;
    const exportWh = each ? grid.exportEachPhaseWh : grid.exportEnergyWh;
    showFlow(values, { powerW: grid.gridPowerW, importWh, exportWh }, device.ctFactor);
    showPhases(values, site, phaseIndexes(site, device.phases), grid.gridPhaseW, device.ctFactor);
    return values;
  }
  const flow = device.role === 'meter' ? coveredFlow(site, device, truth) : flowOf(site, device.id, truth);
  showFlow(values, flow, device.ctFactor);
  const phases = phaseIndexes(site, device.phases);
  const powers = site.connection.phases.map((_, i) => (phases.includes(i) ? flow.powerW / phases.length : 0));
  showPhases(values, site, phases, powers, device.ctFactor);
  showLoads(values, site, device, truth);
  showGenerator(values, device, truth);
  showBattery(values, device, truth, grid);
  values.set('temperatureDegC', TEMPERATURE_DEG_C);
  return values;
}

function showFlow(values: Map<string, number>, flow: Flow, ctFactor: number): void {
  values.set('gridPowerW', flow.powerW / ctFactor);
  values.set('importEnergyWh', flow.importWh / ctFactor);
  values.set('exportEnergyWh', flow.exportWh / ctFactor);
  values.set('reactivePowerVar', 0);
  values.set('apparentPowerVa', Math.abs(flow.powerW) / ctFactor);
  values.set('powerFactor', 1);
  values.set('frequencyHz', FREQUENCY_HZ);
}

/** Phases in the order of the connection; a single-phase device shows its own as L1. */
function showPhases(
  values: Map<string, number>,
  site: SiteFile,
  phases: readonly number[],
  powersW: readonly number[],
  ctFactor: number,
): void {
  const { voltageV, ampsPerPhase } = site.connection;
  phases.forEach((phase, i) => {
    const powerW = powersW[phase] ?? 0;
    const load = Math.max(-1, Math.min(1, powerW / (voltageV * ampsPerPhase)));
    const volts = voltageV * (1 - VOLTAGE_SWING * load);
    const name = `L${i + 1}`;
    values.set(`gridPower${name}W`, powerW / ctFactor);
    values.set(`voltage${name}V`, volts);
    values.set(`current${name}A`, Math.abs(powerW) / volts / ctFactor);
  });
}

function showGenerator(values: Map<string, number>, device: Device, truth: SiteTruth): void {
  const generator = truth.generators.get(device.id);
  values.set('generationPowerW', generator?.powerW ?? 0);
  values.set('generationEnergyWh', generator?.energyWh ?? 0);
  if (generator === undefined) return;
  const { off, tracking, throttled } = SUNSPEC_STATE;
  const state = generator.powerW <= 0 ? off : generator.powerW < generator.availableW ? throttled : tracking;
  values.set('operatingState', state);
}

/** A battery's inverter also sees the grid connection: it has a meter of its own there. */
function showBattery(values: Map<string, number>, device: Device, truth: SiteTruth, grid: ShownGrid): void {
  const battery = truth.batteries.get(device.id);
  if (battery === undefined) return;
  values.set('batteryPowerW', battery.powerW);
  values.set('stateOfChargePercent', battery.stateOfChargePercent);
  values.set('chargePowerMaxW', battery.chargePowerMaxW);
  values.set('dischargePowerMaxW', battery.dischargePowerMaxW);
  values.set('batteryChargeEnergyWh', battery.chargeEnergyWh);
  values.set('batteryDischargeEnergyWh', battery.dischargeEnergyWh);
  values.set('gridPowerW', grid.gridPowerW);
  values.set('importEnergyWh', grid.importEnergyWh);
  values.set('exportEnergyWh', grid.exportEnergyWh);
  values.set('consumptionPowerW', truth.consumptionPowerW);
  values.set('consumptionEnergyWh', truth.consumptionEnergyWh);
}

function showLoads(values: Map<string, number>, site: SiteFile, device: Device, truth: SiteTruth): void {
  let powerW = 0;
  let energyWh = 0;
  for (const load of site.loads) {
    if (load.device !== device.id) continue;
    powerW += truth.loads.get(load.id)?.powerW ?? 0;
    energyWh += truth.loads.get(load.id)?.energyWh ?? 0;
  }
  values.set('consumptionPowerW', powerW);
  values.set('consumptionEnergyWh', energyWh);
}

/** What a device takes from and gives to the site's wires. */
function flowOf(site: SiteFile, device: string, truth: SiteTruth): Flow {
  let flow = NO_FLOW;
  for (const load of site.loads) {
    const seen = load.device === device ? truth.loads.get(load.id) : undefined;
    if (seen !== undefined) flow = plus(flow, { powerW: seen.powerW, importWh: seen.energyWh, exportWh: 0 });
  }
  const generator = truth.generators.get(device);
  if (generator !== undefined) {
    flow = plus(flow, { powerW: -generator.powerW, importWh: 0, exportWh: generator.energyWh });
  }
  const battery = truth.batteries.get(device);
  if (battery !== undefined) {
    flow = plus(flow, {
      powerW: -battery.powerW,
      importWh: battery.chargeEnergyWh,
      exportWh: battery.dischargeEnergyWh,
    });
  }
  return flow;
}

/** A meter inside the site adds up what it covers; nested meters are covered through their devices. */
function coveredFlow(site: SiteFile, device: Device, truth: SiteTruth): Flow {
  return device.covers
    .filter((id) => site.devices.find((covered) => covered.id === id)?.role !== 'meter')
    .map((id) => flowOf(site, id, truth))
    .reduce(plus, NO_FLOW);
}

function plus(a: Flow, b: Flow): Flow {
  return { powerW: a.powerW + b.powerW, importWh: a.importWh + b.importWh, exportWh: a.exportWh + b.exportWh };
}
