// kill -9 in mid-discharge, with real processes: `npm run bench -- dispatch killSafe` does the same fifty times.

import { expect, test } from 'vitest';
import { killTrial, type Trial } from './killing.ts';

const ROOF = 'sunspec/inverter-three-phase';
const TRIALS: readonly Trial[] = [
  { seed: 101, battery: 'fox-ess/h3', roof: ROOF, restart: 'never' },
  { seed: 102, battery: 'solaredge/storedge', roof: 'huawei/sun2000', restart: 'twice' },
  { seed: 103, battery: 'marstek/venus-e', roof: ROOF, restart: 'again' },
];

test.concurrent.for(TRIALS)(
  '$battery and $roof, restarted $restart: devices are on their own in time',
  {
    timeout: 180_000,
  },
  async (trial) => {
    const { left, dischargingW, isSafe } = await killTrial(trial);
    expect(dischargingW).toBeGreaterThan(0);
    expect({ isSafe, left }).toMatchObject({ isSafe: true });
    const [battery, roof] = left;
    // It was driven, or, without a watchdog of its own, never was.
    expect(battery?.valueW === null).toBe(trial.battery === 'marstek/venus-e');
    expect(roof?.valueW).toBeGreaterThan(0);
  },
);
