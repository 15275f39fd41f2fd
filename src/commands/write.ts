// wattpact write: holds one control of a device for a while, then gives it back. For commissioning by hand.

import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { createFieldbus } from '../fieldbus/fieldbus.ts';
import { loadSite } from '../site/load.ts';
import { leaseFile } from '../store/lease-file.ts';
import { deviceOf, machineClock, warnings } from './bus-tools.ts';
import { printLine } from './output.ts';

/** A control is renewed this often while it is held. */
const RENEW_MS = 2_000;
const TTL_MS = 10_000;
/** Failures in a row, a quarter of a second apart, before it gives up. */
const TRIES_MAX = 12;

export function writeCommand(): Command {
  return new Command('write')
    .description('Holds a control of a device at a value for some seconds, reads it back, then reverts it.')
    .argument('<site>', 'site file')
    .argument('<device>', 'device of the site')
    .argument('<control>', 'control such as batterySetpointW, generationLimitW, switch1')
    .argument('<value>', "value in the house's unit and sign (battery + is discharging)")
    .option('--for <seconds>', 'how long', '10')
    .option('--profiles <dir...>', 'folders with profiles of your own')
    .action(
      async (
        file: string,
        name: string,
        control: string,
        text: string,
        options: { for: string; profiles?: string[] },
      ) => {
        const value = Number(text);
        const seconds = Number(options.for);
        if (text.trim() === '' || !Number.isFinite(value))
          throw new WattpactError('usage.value', `${text} is no number`);
        if (!(seconds > 0 && seconds <= 3600)) throw new WattpactError('usage.for', '--for is 1 to 3600 seconds');
        const loaded = loadSite(file, options.profiles);
        const { device } = deviceOf(loaded, name);
        // Only this device is driven and read.
        const site = { ...loaded.site, devices: [device] };
        const fieldbus = createFieldbus({
          site,
          profiles: loaded.profiles,
          clock: machineClock,
          leases: leaseFile(`${file}.leases.json`),
          log: warnings,
        });
        const stop = new AbortController();
        process.once('SIGINT', () => stop.abort());
        await fieldbus.start();
        try {
          await hold(fieldbus, name, control, value, seconds * 1000, stop.signal);
        } finally {
          await fieldbus.stop();
        }
        printLine(`${name} ${control}: reverted`);
      },
    );
}

async function hold(
  fieldbus: ReturnType<typeof createFieldbus>,
  device: string,
  control: string,
  value: number,
  durationMs: number,
  signal: AbortSignal,
): Promise<void> {
  let held = false;
  let reason: string | null = null;
  const endMs = performance.now() + durationMs;
  for (let failures = 0; (performance.now() < endMs || !held) && !signal.aborted; ) {
    const lease = await fieldbus.lease(device, control, value, TTL_MS);
    if (lease.state === 'active') {
      if (!held) printLine(`${device} ${control}: ${lease.value}, read back`);
      held = true;
      failures = 0;
    } else {
      reason = lease.reason;
      if (++failures > TRIES_MAX) throw new WattpactError('fieldbus.write', `${device} ${control}: ${reason}`);
    }
    const restMs = lease.state === 'active' ? Math.min(RENEW_MS, Math.max(0, endMs - performance.now())) : 250;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, restMs);
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
