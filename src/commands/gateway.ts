// `wattpact gateway SITE`: the program of a site, in the foreground, until a signal ends it.

import { Command, InvalidArgumentError, Option } from 'commander';
import type { ClockTrust } from '../gateway/clockgate.ts';
import { gatewayIdOf } from '../gateway/equipment.ts';
import { startGateway } from '../gateway/gateway.ts';
import { startFollowing } from '../gateway/reload.ts';
import { filesOfSite, loadSite, notesOfSite } from '../site/load.ts';
import { createNotifier } from './notify.ts';
import { fail } from './output.ts';
import { loadOwnKey } from './own-key.ts';
import { runtime, runUntilSignal, tellParent } from './runtime.ts';
import { marketOf } from './site-market.ts';

interface Flags {
  readonly profiles?: readonly string[];
  readonly id?: string;
  readonly clock: ClockTrust;
  readonly checkpoint?: readonly string[];
  readonly demandHttp?: Address;
  readonly demandMqtt?: Address;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`. */
export function address(text: string): Address {
  const found = /^(.+):(\d{1,5})$/.exec(text);
  if (found === null || Number(found[2]) > 65_535)
    throw new InvalidArgumentError('HOST:PORT is wanted, e.g. 127.0.0.1:1883.');
  return { host: (found[1] as string).replace(/^\[|\]$/g, ''), port: Number(found[2]) };
}

export function gatewayCommand(): Command {
  return new Command('gateway')
    .description('run the gateway of a site')
    .argument('<site>', 'site file (YAML) with a market section')
    .option(
      '--profiles <dir...>',
      'folders with profiles of your own (`profiles` beside the site file is always looked into)',
    )
    .option('--id <gateway>', 'id under which the operator admitted the site (default: gateway-<site id>)')
    .addOption(
      new Option(
        '--clock <trust>',
        'system: sign only while the machine says that its clock is synchronised; assumed: somebody else vouches for it',
      )
        .choices(['system', 'assumed'])
        .default('system'),
    )
    .option(
      '--checkpoint <file...>',
      "operators' checkpoints (`chain checkpoint`): wanted when the validators were last heard longer ago than the chain's trust period",
    )
    .option('--demand-http <host:port>', "door for customers' stated demand over HTTP", address)
    .option('--demand-mqtt <host:port>', "the same as an MQTT broker of the site's own", address)
    .action(gateway);
}

async function gateway(siteFile: string, flags: Flags): Promise<void> {
  const loaded = loadSite(siteFile, flags.profiles);
  const { market, genesis } = marketOf(siteFile, loaded.site);
  const id = flags.id ?? gatewayIdOf(loaded.site);
  const { log, ...machine } = runtime(genesis, id);
  for (const note of notesOfSite(loaded)) log.warn({}, note);
  const fixed = {
    genesis,
    gateway: id,
    key: loadOwnKey(market.key, id, genesis),
    dir: market.dataDir,
    clockTrust: flags.clock,
    checkpoints: await checkpointsOf(flags.checkpoint ?? []),
    demandHttp: flags.demandHttp ?? null,
    demandMqtt: flags.demandMqtt ?? null,
    ...machine,
    log,
    emit: tellParent,
  };
  const running = await startFollowing({
    ...fixed,
    loaded,
    load: () => loadSite(siteFile, flags.profiles),
    filesOf: (current) => filesOfSite(current, flags.profiles),
    start: (current) =>
      startGateway({ ...fixed, loaded: current, brokers: current.site.market?.brokers ?? market.brokers }),
    onLost: fail,
  });
  const notifier = createNotifier({ environment: process.env, monotonicMs: machine.clock.monotonicMs, log });
  runUntilSignal(async () => {
    await notifier.stopping();
    await running.stop();
  });
  await notifier.ready(`site ${loaded.site.id} on chain ${genesis.chain}`);
  notifier.watch(running.lastTickMs);
}

/** The code that reads them is loaded only where there are any: a small machine has better use for its memory. */
async function checkpointsOf(files: readonly string[]) {
  if (files.length === 0) return [];
  const { readCheckpoint } = await import('./chain-checkpoint.ts');
  return files.map((file) => readCheckpoint(file));
}
