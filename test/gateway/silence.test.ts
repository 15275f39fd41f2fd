// An operator that is not heard any more, from the broker to the inverter's register and to the people: the default limits of the site file
// hold until it is heard again. The clock is driven; nothing waits for a minute.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { SILENT } from '../../src/base/log.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import { startGateway } from '../../src/gateway/gateway.ts';
import type { Key } from '../../src/keys/files.ts';
import { connect } from '../../src/messaging/client.ts';
import { encodeEnvelope } from '../../src/protocol/envelope.ts';
import { attest, NO_PARENT, validatorSetHash } from '../../src/protocol/header.ts';
import { createVirtualSite } from '../../src/simulator/virtual-site.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';
import { afterwards, until } from '../messaging/fixtures.ts';
import { constant } from '../simulator/fixtures.ts';
import { brokerOf } from './fixtures.ts';
import { siteIn } from './killing.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
/** The design's minute. */
const SILENCE_MS = 60_000;
/** 10 kW may leave the site, 1 kW while its operator is silent; 3 kW are consumed, and its battery takes 2.5. */
const BETWEEN_W = 9_000;
const WITHIN_MS = 60_000;

type Powers = Extract<GatewayEvent, { type: 'powers' }>;

test('a minute without a word: default limits, told to the people, until it is heard again', {
  timeout: 300_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-silence-'));
  afterwards(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  let skippedMs = 0;
  const clock: Clock = {
    chainMs: () => Date.now() + skippedMs,
    monotonicMs: () => performance.now() + skippedMs,
  };
  const { consortium, site } = siteIn(dir, { battery: 'fox-ess/h3', roof: 'sunspec/inverter-three-phase' });
  const { genesis, keys } = consortium;
  const { chain } = genesis;
  const url = await brokerOf(consortium, clock);

  /** Limit of the roof as its register has it now, W. */
  let limitW: number | null = null;
  const virtual = createVirtualSite({
    site: site.loaded.site,
    profiles: site.loaded.profiles,
    clock,
    series: { generation: new Map([['roof', constant(1_000)]]), consumption: constant(3_000) },
    onCommand(device, _control, value) {
      if (device === 'roof') limitW = value;
    },
  });
  const buses = await virtual.start();
  afterwards(() => virtual.stop());
  const served = site.loaded.site.buses.map((bus) => ({ ...bus, ...buses.get(bus.id) }) as typeof bus);
  const events: GatewayEvent[] = [];
  const powers = (): readonly Powers[] => events.filter((event): event is Powers => event.type === 'powers');
  const conditions = (what: 'began' | 'ended') =>
    events.flatMap((event) => (event.type === 'condition' && event.what === what ? [event.condition.code] : []));
  const gateway = await startGateway({
    loaded: { ...site.loaded, site: { ...site.loaded.site, buses: served } },
    ...{ genesis, gateway: site.gateway, key: keys.get(site.gateway) as Key, dir: site.dataDir, brokers: [url] },
    ...{ clockTrust: 'assumed' as const, checkpoints: [], demandHttp: null, demandMqtt: null, clock },
    random: () => 0.5,
    randomBytes: (length) => new Uint8Array(length),
    log: SILENT,
    emit: (event) => events.push(event),
  });
  afterwards(() => gateway.stop());
  const key = keys.get('validator') as Key;
  const validator = connect({
    ...{ chain, self: 'validator', key, brokers: [url], brokersWanted: 1, clock, log: SILENT, random: () => 0 },
    outbox: openGatewayStore(':memory:').outbox,
  });
  afterwards(() => validator.stop());
  await validator.connected(1, 20_000);
  let height = 0;
  let saidAtMs = 0;
  /** A block's header, as the validator attests it. */
  async function speak(): Promise<void> {
    height++;
    saidAtMs = clock.monotonicMs();
    const header = {
      ...{ chain, height, parent: NO_PARENT, resultsRoot: 'ab'.repeat(32), stateHash: 'ab'.repeat(32) },
      ...{ timeMs: Math.round(clock.chainMs()), validatorSet: validatorSetHash(genesis.validators) },
    };
    await validator.publish('header', ['validator'], encodeEnvelope(attest(header, 'validator', key.sign)));
  }
  /** Says something now and then, as validators do, until something is so. */
  async function untilSpeaking(what: string, holds: () => boolean): Promise<void> {
    const stop = setInterval(() => void speak(), 1_000);
    try {
      await speak();
      await until(what, holds, WITHIN_MS);
    } finally {
      clearInterval(stop);
    }
  }
  const isWide = () => limitW !== null && limitW > BETWEEN_W;
  const isNarrow = () => limitW !== null && limitW < BETWEEN_W;
  const ticks = () => powers().length;

  await until('nothing was heard yet: the roof is held to the default limit', isNarrow, WITHIN_MS);
  await untilSpeaking('the roof is held to the limit of the connection', isWide);

  // Half of the time: nothing changes. On a machine that stood still for so long, this says nothing.
  const before = ticks();
  skippedMs += SILENCE_MS / 2;
  await until('two turns of the loop', () => ticks() >= before + 2, WITHIN_MS);
  const last = powers().at(-1);
  if (clock.monotonicMs() - saidAtMs < SILENCE_MS) {
    expect(last?.control).not.toMatch(/operator not heard/);
    // A device that was not fed meanwhile may be on its own for a moment, held to nothing.
    expect(isNarrow()).toBe(false);
  }

  skippedMs += SILENCE_MS / 2;
  await until('the roof is held to the default limit', isNarrow, WITHIN_MS);
  await until('it is said', () => /operator not heard: default limits/.test(powers().at(-1)?.control ?? ''), WITHIN_MS);
  skippedMs += 5_000;
  await until('it is told', () => conditions('began').includes('operator-silent'), WITHIN_MS);
  await until('it is on the page', () => /default limits/.test(powers().at(-1)?.conditions.join() ?? ''), WITHIN_MS);
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'status', site.dataDir]);
  expect(stdout).toMatch(/trouble .*the operator cannot be heard: the default limits of the site file hold/);

  await untilSpeaking('the limit of the connection again', isWide);
  await untilSpeaking('it is told that this is over', () => conditions('ended').includes('operator-silent'));
});
