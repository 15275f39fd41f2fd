import { describe, expect, test } from 'vitest';
import { createMeter, EXACT } from '../../src/simulator/measuring.ts';
import type { SiteTruth } from '../../src/simulator/types.ts';

function truth(gridPowerW: number, importEnergyWh = 0): SiteTruth {
  return {
    atMs: 0,
    gridPowerW,
    gridPhaseW: [gridPowerW],
    consumptionPowerW: 0,
    consumptionEnergyWh: 0,
    importEnergyWh,
    exportEnergyWh: 0,
    importEachPhaseWh: importEnergyWh,
    exportEachPhaseWh: 0,
    generators: new Map(),
    batteries: new Map(),
    loads: new Map(),
    bridgedGaps: [],
  };
}

describe('a meter', () => {
  test('without errors shows the truth', () => {
    const meter = createMeter(EXACT, 1);
    meter.sample(truth(123.4, 5.6), 0);
    expect(meter.shown(0)).toMatchObject({ gridPowerW: 123.4, importEnergyWh: 5.6 });
  });

  test('has noise of the given size around the truth, the same for the same seed', () => {
    const shown = (seed: number) => {
      const meter = createMeter({ ...EXACT, powerNoise: 0.01 }, seed);
      return Array.from({ length: 4000 }, (_, i) => {
        meter.sample(truth(1000), i);
        return meter.shown(i).gridPowerW;
      });
    };
    const values = shown(7);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean - 1000)).toBeLessThan(1);
    expect(Math.abs(deviation - 10)).toBeLessThan(0.5);
    expect(shown(7)).toEqual(values);
    expect(shown(8)).not.toEqual(values);
  });

  test('counts in whole steps and never ahead', () => {
    const meter = createMeter({ ...EXACT, counterResolutionWh: 100 }, 1);
    for (const [at, energyWh] of [99.9, 100, 250].entries()) {
      meter.sample(truth(0, energyWh), at);
      expect(meter.shown(at).importEnergyWh).toBe(Math.floor(energyWh / 100) * 100);
    }
  });

  test('shows the youngest sample that is old enough', () => {
    const meter = createMeter({ ...EXACT, meterDelayMs: 1000 }, 1);
    for (let atMs = 0; atMs <= 5000; atMs += 100) meter.sample(truth(atMs), atMs);
    expect(meter.shown(5000).gridPowerW).toBe(4000);
    expect(meter.shown(5050).gridPowerW).toBe(4000);
    expect(meter.shown(5100).gridPowerW).toBe(4100);
  });
});
