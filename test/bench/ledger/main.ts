// How fast a book is made and checked: one process, real signatures and certificates, the ledger's own store on disk.
//   npm run bench -- ledger [--records N]

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isCertified } from '../../../src/consensus/certificates.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { audit } from '../../../src/ledger/audit.ts';
import type { Envelope } from '../../../src/protocol/envelope.ts';
import type { Genesis } from '../../../src/protocol/genesis.ts';
import { openLedgerStore } from '../../../src/store/ledger.ts';
import { minutesAfter, publicKeyOf, T, testGenesis, World } from '../../ledger/world.ts';

const SITES = 400;
/** Requests a site makes an interval: forecast, demand, offer, delivery. */
const KINDS = 4;

interface Phase {
  wallMs: number;
  cpuMs: number;
}

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { records: { type: 'string', default: '24000' } } });
  const intervals = Math.max(2, Math.round(Number(values.records) / (SITES * KINDS)));
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-bench-ledger-'));
  try {
    const genesis = streetGenesis();
    const path = join(folder, 'ledger.sqlite');
    const made = makeBook(genesis, path, intervals);
    const source = openLedgerStore(path, { readonly: true });
    const verifying: Phase = { wallMs: 0, cpuMs: 0 };
    const found = timed(verifying, () =>
      audit({ genesis, verify: fastVerify, source, isCertified: isCertified(genesis.chain, fastVerify) }),
    );
    source.close();
    if (found.problem !== null) throw new Error(`block ${found.problem.height}: ${found.problem.what}`);
    const perS = (phase: Phase, by: keyof Phase): number => Math.round((found.records / phase[by]) * 1000);
    const bytesPerRecord = Math.round(statSync(path).size / found.records);
    process.stdout.write(
      `${found.records} records of ${SITES} sites in ${found.height} blocks\n` +
        `propose and verify  ${perS(made.verifying, 'wallMs')} records/s (${perS(made.verifying, 'cpuMs')} a second of CPU)\n` +
        `apply, durably      ${perS(made.applying, 'wallMs')} records/s (${perS(made.applying, 'cpuMs')} a second of CPU)\n` +
        `chain verify        ${perS(verifying, 'wallMs')} records/s (${perS(verifying, 'cpuMs')} a second of CPU)\n` +
        `on disk             ${bytesPerRecord} bytes a record\n`,
    );
    const numbers = {
      records: found.records,
      blocks: found.height,
      applyPerS: perS(made.applying, 'wallMs'),
      applyPerCpuS: perS(made.applying, 'cpuMs'),
      verifyPerS: perS(verifying, 'wallMs'),
      verifyPerCpuS: perS(verifying, 'cpuMs'),
      bytesPerRecord,
      cpu: cpus()[0]?.model ?? '',
    };
    process.stdout.write(`${JSON.stringify(numbers)}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function timed<Result>(phase: Phase, work: () => Result): Result {
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  const result = work();
  const used = process.cpuUsage(cpu);
  phase.wallMs += performance.now() - startedMs;
  phase.cpuMs += (used.user + used.system) / 1000;
  return result;
}

function streetGenesis(): Genesis {
  const base = testGenesis();
  const buses = ['a', 'b', 'c'];
  const [template] = base.gateways;
  if (template === undefined) throw new Error('no site to copy');
  const gateways = Array.from({ length: SITES }, (_, i) => ({
    ...template,
    bus: buses[i % buses.length] as string,
    customers: ['home'],
    gateway: `site-${i}`,
    meterSerial: `site-${i}-meter`,
    publicKey: publicKeyOf(`site-${i}`),
  }));
  return testGenesis({ gateways });
}

/** Every site forecasts, demands, offers and delivers in every interval; half of them sell. */
function makeBook(genesis: Genesis, path: string, intervals: number): { verifying: Phase; applying: Phase } {
  const store = openLedgerStore(path);
  const world = new World(genesis, store);
  const verifying: Phase = { wallMs: 0, cpuMs: 0 };
  const applying: Phase = { wallMs: 0, cpuMs: 0 };
  const order = (requests: readonly Envelope[], timeMs: number): void => {
    const batch = timed(verifying, () => world.ledger.propose(requests, timeMs));
    const problem = timed(verifying, () => world.ledger.verify(batch));
    if (problem !== null || batch.requests.length !== requests.length) throw new Error(problem ?? 'requests left out');
    const certificate = world.certificate(batch);
    timed(applying, () => world.ledger.apply(batch, certificate));
  };
  const everySite = (make: (gateway: string, i: number) => Envelope): Envelope[] =>
    Array.from({ length: SITES }, (_, i) => make(`site-${i}`, i));
  order([world.tariff()], minutesAfter(T, -19));
  for (let k = 0; k < intervals; k++) {
    const interval = T + k;
    const validUntilMs = minutesAfter(interval, 0);
    const quantilesWh = [700, 800, 900, 1000, 1100, 1200, 1300];
    const forecast = { device: 'wind1', energyWh: 1000, interval, quantilesWh, validUntilMs };
    order(
      everySite((gateway) => world.sign(gateway, 'forecast', forecast)),
      minutesAfter(interval, -10),
    );
    const demand = { customer: 'home', energyWh: 300, interval, validUntilMs };
    order(
      everySite((gateway) => world.sign(gateway, 'demand', demand)),
      minutesAfter(interval, -9),
    );
    const steps = (i: number) => [{ energyWh: 500, priceUcPerWh: 9000 + i }];
    order(
      everySite((gateway, i) => {
        const sells = i % 2 === 0;
        return world.sign(gateway, 'offer', {
          buy: sells ? [] : steps(i),
          interval,
          sell: sells ? steps(i) : [],
          validUntilMs,
        });
      }),
      minutesAfter(interval, -8),
    );
    order([], minutesAfter(interval, -5));
    order(deliveriesOf(world, interval - 1, k, everySite), minutesAfter(interval, 1));
  }
  store.close();
  return { verifying, applying };
}

/** What every site delivers in the interval before: its counters go on by 500 Wh. */
function deliveriesOf(
  world: World,
  interval: number,
  k: number,
  everySite: (make: (gateway: string, i: number) => Envelope) => Envelope[],
): Envelope[] {
  const more = { exportStartWh: 500 * k, importStartWh: 0, validUntilMs: minutesAfter(interval, 19) };
  return everySite((gateway) => world.delivery(gateway, interval, 500 * (k + 1), 0, more));
}
