import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatteryModel } from '../../src/simulator/physics/battery.ts';
import type { Series } from '../../src/simulator/physics/series.ts';
import { createSitePhysics, type SiteModel } from '../../src/simulator/physics/site.ts';
import type { SiteTruth } from '../../src/simulator/types.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function series(powerW: number[]): Series {
  return { name: 's', startMs: 0, stepMs: DAY_MS / powerW.length, powerW: Float64Array.from(powerW) };
}

const battery: BatteryModel = {
  id: 'battery',
  capacityWh: 5000,
  chargeLimitW: 3000,
  dischargeLimitW: 2500,
  chargeTaper: [],
  dischargeTaper: [],
  chargeEfficiency: 0.95,
  dischargeEfficiency: 0.94,
  standbyW: 0,
  automatic: 'idle',
  phases: [0, 1, 2],
};

const base: SiteModel = {
  phaseShares: [0.5, 0.3, 0.2],
  consumption: series([1000, 1000]),
  generators: [{ id: 'pv', ratedW: 5000, series: series([4000, 4000]), phases: [1] }],
  batteries: [battery],
  loads: [{ id: 'boiler', powersW: [2000], phases: [2] }],
  inverterLagMs: 0,
  initialStateOfChargePercent: 50,
};

/** Drives a site at a rate of one: chain and wall time are the same. */
function drive(model: SiteModel) {
  const physics = createSitePhysics(model, 0, 0);
  return { physics, at: (ms: number) => physics.advance(ms, ms) };
}

function balance(truth: SiteTruth): number {
  let suppliedW = truth.gridPowerW;
  for (const generator of truth.generators.values()) suppliedW += generator.powerW;
  for (const { powerW } of truth.batteries.values()) suppliedW += powerW;
  return suppliedW - truth.consumptionPowerW;
}

describe('flows', () => {
  test('grid + generation + battery = consumption, and each phase', () => {
    const { physics } = drive(base);
    physics.setLoad('boiler', 2000, null);
    physics.setBattery('battery', -1500, null);
    const truth = physics.truth();
    expect(truth.consumptionPowerW).toBe(3000);
    expect(truth.gridPowerW).toBe(3000 - 4000 + 1500);
    expect(truth.gridPhaseW).toEqual([500 + 500, 300 - 4000 + 500, 200 + 2000 + 500]);
    expect(balance(truth)).toBe(0);
  });

  test('each measured step keeps its energy, however it is cut', () => {
    const powers = [0, 100, 2345, 17, 4000, 1, 0, 900];
    const model = {
      ...base,
      consumption: null,
      batteries: [],
      generators: [{ ...base.generators[0]!, series: series(powers) }],
    };
    const { physics, at } = drive(model);
    let seen = 0;
    for (let step = 1; step <= powers.length; step++) {
      for (let cut = 0; cut < 7; cut++) at((step - 1 + cut / 7) * 3 * HOUR_MS);
      at(step * 3 * HOUR_MS);
      const energyWh = physics.truth().generators.get('pv')!.energyWh;
      expect(energyWh - seen).toBeCloseTo(powers[step - 1]! * 3, 9);
      seen = energyWh;
    }
    expect(physics.truth().exportEnergyWh).toBeCloseTo(seen, 9);
  });

  test('a long way at once gives what many short ones give', () => {
    const model = {
      ...base,
      consumption: series([300, 5000, 40, 2500]),
      generators: [{ ...base.generators[0]!, series: series([0, 100, 4000, 17, 3000, 0]) }],
      batteries: [{ ...battery, automatic: 'self-consumption' as const, standbyW: 7 }],
    };
    const once = drive(model);
    once.at(2 * DAY_MS);
    const often = drive(model);
    for (let ms = 0; ms <= 2 * DAY_MS; ms += 7 * MINUTE_MS) often.at(ms);
    often.at(2 * DAY_MS);
    for (const key of ['importEnergyWh', 'exportEnergyWh', 'consumptionEnergyWh', 'importEachPhaseWh'] as const) {
      expect(once.physics.truth()[key]).toBeCloseTo(often.physics.truth()[key], 5);
    }
    expect(once.physics.truth().importEnergyWh).toBeGreaterThan(1000);
  });

  test('a meter that counts each phase counts more both ways, and the same net', () => {
    const { physics, at } = drive(base);
    physics.setBattery('battery', 0, null);
    at(HOUR_MS);
    const truth = physics.truth();
    expect(truth).toMatchObject({ importEnergyWh: 0, exportEnergyWh: 3000 });
    expect(truth.importEachPhaseWh).toBeCloseTo(700, 9);
    expect(truth.exportEachPhaseWh).toBeCloseTo(3700, 9);
  });

  test('a hybrid shares its inverter between PV and battery', () => {
    const { physics } = drive({ ...base, batteries: [{ ...battery, id: 'pv' }] });
    physics.setBattery('pv', 2500, null);
    expect(physics.truth().batteries.get('pv')!.powerW).toBe(1000);
    physics.setGenerationLimit('pv', 0, null);
    expect(physics.truth().batteries.get('pv')!.powerW).toBe(2500);
  });

  test('negative generation is the own use of the inverter', () => {
    const { physics } = drive({ ...base, generators: [{ ...base.generators[0]!, series: series([-12, -12]) }] });
    expect(physics.truth()).toMatchObject({ consumptionPowerW: 1012, gridPowerW: 1012 });
    expect(physics.truth().generators.get('pv')).toMatchObject({ powerW: 0, availableW: 0 });
  });

  test('an inverter obeys its limit until its watchdog forgets it', () => {
    const { physics, at } = drive(base);
    physics.setGenerationLimit('pv', 1500, 60_000);
    expect(physics.truth().generators.get('pv')).toMatchObject({ powerW: 1500, availableW: 4000, limitW: 1500 });
    at(59_999);
    expect(physics.truth().generators.get('pv')!.powerW).toBe(1500);
    at(120_000);
    expect(physics.truth().generators.get('pv')).toMatchObject({ powerW: 4000, limitW: null });
    expect(physics.truth().generators.get('pv')!.energyWh).toBeCloseTo((1500 + 4000) / 60, 6);
  });

  test('a gap is bridged and named', () => {
    const { physics } = drive({ ...base, consumption: series([Number.NaN, 5]) });
    expect(physics.truth().bridgedGaps).toEqual(['consumption']);
  });
});

describe('the battery', () => {
  test('stops when empty, and the energy is exact', () => {
    const { physics, at } = drive(base);
    physics.setBattery('battery', 2000, null);
    at(2 * HOUR_MS);
    const truth = physics.truth().batteries.get('battery')!;
    expect(truth).toMatchObject({ powerW: 0, storedWh: 0, stateOfChargePercent: 0, setpointW: 2000 });
    expect(truth.dischargeEnergyWh).toBeCloseTo(2500 * 0.94, 9);
  });

  test('stops when full, and charges again after it gave some back', () => {
    const { physics, at } = drive(base);
    physics.setBattery('battery', -9999, null);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(-3000);
    at(2 * HOUR_MS);
    expect(physics.truth().batteries.get('battery')).toMatchObject({ powerW: 0, storedWh: 5000 });
    expect(physics.truth().batteries.get('battery')!.chargeEnergyWh).toBeCloseTo(2500 / 0.95, 9);
    physics.setBattery('battery', 500, null);
    at(2 * HOUR_MS + MINUTE_MS);
    physics.setBattery('battery', -500, null);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(-500);
  });

  test('in its automatic mode it covers the site and takes the surplus', () => {
    const own = { ...base, batteries: [{ ...battery, automatic: 'self-consumption' as const, standbyW: 40 }] };
    const { physics } = drive(own);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(-2960);
    expect(physics.truth().gridPowerW).toBe(0);
    physics.setGenerationLimit('pv', 0, null);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(1040);
  });

  test('its watchdog runs in wall time while energy runs in chain time', () => {
    const physics = createSitePhysics(base, 0, 0);
    physics.setBattery('battery', 900, 10_000);
    physics.advance(45 * 20_000, 20_000);
    const truth = physics.truth().batteries.get('battery')!;
    expect(truth.setpointW).toBe(null);
    expect(truth.dischargeEnergyWh).toBeCloseTo((900 * 45 * 10) / 3600, 6);
  });

  test('a set-point that is renewed goes on', () => {
    const { physics, at } = drive(base);
    for (let second = 0; second < 60; second++) {
      physics.setBattery('battery', 900, 1500);
      at((second + 1) * 1000);
    }
    expect(physics.truth().batteries.get('battery')!.dischargeEnergyWh).toBeCloseTo(15, 9);
  });

  test('near full it takes what its taper leaves', () => {
    const taper = [
      { percent: 80, powerW: 3000 },
      { percent: 100, powerW: 200 },
    ];
    const { physics, at } = drive({ ...base, batteries: [{ ...battery, chargeTaper: taper }] });
    physics.setBattery('battery', -3000, null);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(-3000);
    at(48 * MINUTE_MS);
    const { powerW, stateOfChargePercent, chargePowerMaxW } = physics.truth().batteries.get('battery')!;
    expect(stateOfChargePercent).toBeGreaterThan(85);
    expect(stateOfChargePercent).toBeLessThan(100);
    expect(-powerW).toBeCloseTo(3000 - ((stateOfChargePercent - 80) / 20) * 2800, 6);
    expect(chargePowerMaxW).toBe(-powerW);
    at(4 * HOUR_MS);
    expect(physics.truth().batteries.get('battery')).toMatchObject({ powerW: 0, storedWh: 5000, chargePowerMaxW: 0 });
  });

  test('an inverter with lag has arrived when the simulation begins', () => {
    const own = { ...base, inverterLagMs: 2000, batteries: [{ ...battery, automatic: 'self-consumption' as const }] };
    expect(drive(own).physics.truth().batteries.get('battery')!.powerW).toBe(-3000);
  });

  test('an inverter with lag comes after its set-point', () => {
    const { physics, at } = drive({ ...base, inverterLagMs: 2000 });
    physics.setBattery('battery', 1000, null);
    at(2000);
    expect(physics.truth().batteries.get('battery')!.powerW).toBeCloseTo(1000 * (1 - Math.exp(-1)), 6);
    at(60_000);
    expect(physics.truth().batteries.get('battery')!.powerW).toBe(1000);
    const { dischargeEnergyWh } = physics.truth().batteries.get('battery')!;
    expect(dischargeEnergyWh).toBeGreaterThan((1000 * 57.8) / 3600);
    expect(dischargeEnergyWh).toBeLessThan((1000 * 58.1) / 3600);
  });
});

test('whatever is done to a site, energy is conserved and limits hold', () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant('battery' as const), powerW: fc.option(fc.integer({ min: -9000, max: 9000 })) }),
    fc.record({ kind: fc.constant('limit' as const), limitW: fc.option(fc.integer({ min: 0, max: 6000 })) }),
    fc.record({ kind: fc.constant('load' as const), on: fc.boolean() }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 3 * HOUR_MS }) }),
  );
  const powers = fc.array(fc.integer({ min: -20, max: 6000 }), { minLength: 24, maxLength: 24 });
  fc.assert(
    fc.property(
      powers,
      powers,
      fc.array(action, { minLength: 1, maxLength: 40 }),
      fc.constantFrom('idle' as const, 'self-consumption' as const),
      fc.constantFrom(0, 2000),
      fc.constantFrom(
        [],
        [
          { percent: 50, powerW: 2500 },
          { percent: 100, powerW: 100 },
        ],
      ),
      (pv, load, actions, automatic, inverterLagMs, chargeTaper) => {
        const physics = createSitePhysics(
          {
            ...base,
            consumption: series(load),
            generators: [{ ...base.generators[0]!, series: series(pv) }],
            batteries: [{ ...battery, automatic, chargeTaper, standbyW: 15 }],
            inverterLagMs,
          },
          0,
          0,
        );
        const startWh = physics.truth().batteries.get('battery')!.storedWh;
        let atMs = 0;
        for (const step of actions) {
          if (step.kind === 'battery') physics.setBattery('battery', step.powerW, 120_000);
          if (step.kind === 'limit') physics.setGenerationLimit('pv', step.limitW, 600_000);
          if (step.kind === 'load') physics.setLoad('boiler', step.on ? 2000 : 0, 300_000);
          if (step.kind === 'wait') {
            atMs += step.ms;
            // Chain time runs ten times as fast as the wall.
            physics.advance(atMs, atMs / 10);
          }
          const truth = physics.truth();
          const { powerW, storedWh, chargeEnergyWh, dischargeEnergyWh } = truth.batteries.get('battery')!;
          const generator = truth.generators.get('pv')!;
          expect(balance(truth)).toBeCloseTo(0, 6);
          expect(truth.gridPhaseW.reduce((a, b) => a + b)).toBeCloseTo(truth.gridPowerW, 6);
          expect(powerW).toBeGreaterThanOrEqual(-battery.chargeLimitW);
          expect(powerW).toBeLessThanOrEqual(battery.dischargeLimitW);
          expect(storedWh).toBeGreaterThanOrEqual(0);
          expect(storedWh).toBeLessThanOrEqual(battery.capacityWh);
          expect(storedWh - startWh).toBeCloseTo(chargeEnergyWh * 0.95 - dischargeEnergyWh / 0.94, 5);
          expect(generator.powerW).toBeLessThanOrEqual(generator.availableW);
          const netWh = truth.importEnergyWh - truth.exportEnergyWh;
          expect(truth.importEachPhaseWh - truth.exportEachPhaseWh).toBeCloseTo(netWh, 5);
          const inWh = truth.importEnergyWh + generator.energyWh + dischargeEnergyWh;
          const outWh = truth.exportEnergyWh + truth.consumptionEnergyWh + chargeEnergyWh;
          expect(inWh).toBeCloseTo(outWh, 5);
        }
      },
    ),
    { numRuns: 150 },
  );
});
