// Gateways killed while batteries discharge: real processes, simulated devices, watchdogs in real time (test/gateway/killing.ts).

import { killTrial, type Restart, type Trial, type TrialResult } from '../../gateway/killing.ts';

/** Watchdogs set by register, fixed in the device, and none; by turns. */
const BATTERIES = ['solaredge/storedge', 'fox-ess/h3', 'fronius/gen24', 'marstek/venus-e', 'kostal/plenticore'];
const ROOFS = ['sunspec/inverter-three-phase', 'huawei/sun2000', 'solaredge/three-phase'];
/** Half of the gateways never come back. */
const RESTARTS: readonly Restart[] = ['never', 'again', 'never', 'twice'];
const AT_ONCE = 6;

/** Prints a line a trial; returns `safe/all`. */
export async function benchKills(trials: number): Promise<string> {
  const all = Array.from({ length: trials }, (_, k): Trial => {
    return {
      seed: k + 1,
      battery: BATTERIES[k % BATTERIES.length]!,
      roof: ROOFS[k % ROOFS.length]!,
      restart: RESTARTS[k % RESTARTS.length]!,
    };
  });
  let safe = 0;
  let next = 0;
  async function work(): Promise<void> {
    for (let trial = all[next++]; trial !== undefined; trial = all[next++]) {
      const result = await killTrial(trial);
      if (result.isSafe) safe++;
      process.stdout.write(`  ${lineOf(result)}\n`);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return `${safe}/${trials}`;
}

function lineOf({ trial, isSafe, dischargingW, left }: TrialResult): string {
  const ends = left.map(({ control, watchdogMs, valueW, stoodMs }) => {
    const watchdog = watchdogMs === null ? 'no watchdog' : `watchdog ${watchdogMs / 1000} s`;
    if (valueW === null) return `${control} (${watchdog}) not driven`;
    const stood = stoodMs === null ? 'stands' : `stood ${(stoodMs / 1000).toFixed(1)} s`;
    return `${control} (${watchdog}) of ${Math.round(valueW)} W ${stood}`;
  });
  return `${isSafe ? 'safe' : 'NOT SAFE'} ${trial.seed}: ${trial.battery}, ${trial.roof}, restart ${trial.restart}, discharging ${Math.round(dischargingW)} W; ${ends.join('; ')}`;
}
