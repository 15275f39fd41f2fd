// A few seeds of the simulator in the suite (`npm run simulate` runs thousands), and that seeds mean what they say.

import { describe, expect, test } from 'vitest';
import { FAULTS, planOf } from './simulator/plan.ts';
import { simulate } from './simulator/world.ts';

describe('agreement, exactly once, persistence, evidence and liveness hold under every class of fault', () => {
  for (const [seed, nodes] of [
    [1, 4],
    [20, 4], // real signatures, through bytes
    [296, 4],
    [10, 7],
    [83, 10],
    [121, 5],
  ] as const) {
    test(`seed ${seed} with ${nodes} validators`, () => {
      const result = simulate(seed, nodes);
      expect(result.violations).toEqual([]);
      expect(result.livenessFailures).toEqual([]);
      expect(result.steps).toBeGreaterThanOrEqual(2000);
      expect(result.commits).toBeGreaterThanOrEqual(20);
    });
  }
});

test('a seed replays exactly, to the last line of its transcript', () => {
  const transcripts = [1, 2].map(() => {
    const lines: string[] = [];
    simulate(7, 4, (line) => lines.push(line));
    return lines.join('\n');
  });
  expect(transcripts[0]).toBe(transcripts[1]);
  expect(transcripts[0]).toMatch(/executed: height 1/);
});

test('each class of fault is in at least a fifth of the seeds, real signatures in a twentieth', () => {
  const plans = Array.from({ length: 1000 }, (_, i) => planOf(i + 1, [4, 5, 7, 10][i % 4] as number));
  for (const fault of FAULTS) {
    expect(plans.filter(({ faults }) => faults.has(fault)).length, fault).toBeGreaterThanOrEqual(200);
  }
  expect(plans.filter(({ realSignatures }) => realSignatures).length).toBe(50);
});
