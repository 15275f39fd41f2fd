// What stays in memory when requests go on for ever: one validator without a broker, in this process, so that its heap can be looked at.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SILENT } from '../../../src/base/log.ts';
import { pbftTerms } from '../../../src/consensus/pbft/core/terms.ts';
import { createPbftEngine } from '../../../src/consensus/pbft/driver.ts';
import { newKey } from '../../../src/keys/files.ts';
import { fastVerify } from '../../../src/keys/verify.ts';
import { createLedger } from '../../../src/ledger/ledger.ts';
import { encodeEnvelope } from '../../../src/protocol/envelope.ts';
import { openLedgerStore } from '../../../src/store/ledger.ts';
import { createVoteLog, openVoteLog } from '../../../src/store/votes.ts';
import { createDoor } from '../../../src/validator/door.ts';
import { createSpeaker } from '../../../src/validator/speaker.ts';
import { genesisOf } from './cluster.ts';
import { forecastOf } from './load.ts';

/** Requests that come at once. */
const AT_ONCE = 100;
const GATEWAYS = 60;
/** Short, so that what expires does so many times within the run. */
const VALID_FOR_MS = 2_000;
const INTERVAL_MS = 20_000;
/** Times at which memory is looked at. */
/** Turns of the loop in which what was asked must be ordered. */
const TURNS_MAX = 100_000;
const LOOKS = 20;

export interface Memory {
  readonly requests: number;
  readonly heapMiB: number;
  readonly arrayBuffersMiB: number;
  readonly rssMiB: number;
}

/** Memory after each twentieth of so many requests, garbage collected before each look. */
export async function steadyMemory(requests: number): Promise<Memory[]> {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-bench-steady-'));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const id = 'validator-00';
  const key = newKey();
  const gateways = new Map(Array.from({ length: GATEWAYS }, (_, i) => [`gateway-${i}`, newKey()]));
  const genesis = genesisOf(new Map([[id, key]]), gateways, INTERVAL_MS);
  const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
  const store = openLedgerStore(join(folder, 'ledger.sqlite'));
  createVoteLog(join(folder, 'votes.sqlite'), key.publicKey);
  const votes = openVoteLog(join(folder, 'votes.sqlite'), key.publicKey);
  try {
    const ledger = createLedger({ genesis, verify: fastVerify, store, log: SILENT });
    const messaging = { publish: async () => [] };
    const speaker = createSpeaker({ id, key, ledger, messaging, clock, log: SILENT });
    ledger.onApplied((applied) => speaker.onApplied(applied));
    const engine = createPbftEngine({
      chain: genesis.chain,
      self: id,
      publicKey: key.publicKey,
      application: ledger,
      sign: key.sign,
      verify: fastVerify,
      transport: { publish: () => {}, onMessage: () => {} },
      votes,
      clock,
      timers: {
        after: (delayMs, callback) => {
          const timer = setTimeout(callback, delayMs);
          return () => clearTimeout(timer);
        },
      },
      terms: pbftTerms(genesis),
      log: SILENT,
    });
    // The door's pace for one publisher is not what is measured.
    const hasty = { ...clock, monotonicMs: () => performance.now() * 1000 };
    const submit = engine.submit.bind(engine);
    const door = createDoor({
      ledger,
      speaker,
      verify: fastVerify,
      clock: hasty,
      log: SILENT,
      submit,
      later: setImmediate,
    });
    engine.start();
    let recorded = 0;
    ledger.onApplied(({ block }) => {
      recorded += block.batch.requests.length;
    });
    const looks: Memory[] = [];
    let made = 0;
    while (looks.length < LOOKS) {
      for (let i = 0; i < AT_ONCE; i++, made++) {
        const name = `gateway-${made % GATEWAYS}`;
        const request = forecastOf(genesis, gateways, name, 1 + Math.floor(made / GATEWAYS), VALID_FOR_MS);
        door.onRequest({ broker: 'none', path: [name], payload: encodeEnvelope(request) });
      }
      for (let turn = 0; recorded < made && turn < TURNS_MAX; turn++) await new Promise((done) => setImmediate(done));
      if (recorded !== made) throw new Error(`${recorded} of ${made} requests were ordered: nothing is measured`);
      if (made < (requests * (looks.length + 1)) / LOOKS) continue;
      collect();
      const { arrayBuffers, heapUsed, rss } = process.memoryUsage();
      const [heapMiB = 0, arrayBuffersMiB = 0, rssMiB = 0] = [heapUsed, arrayBuffers, rss].map(inMiB);
      looks.push({ requests: recorded, heapMiB, arrayBuffersMiB, rssMiB });
      process.stderr.write(`${JSON.stringify(looks.at(-1))}\n`);
    }
    engine.stop();
    return looks;
  } finally {
    votes.close();
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function inMiB(bytes: number): number {
  return Number((bytes / 1024 / 1024).toFixed(1));
}
