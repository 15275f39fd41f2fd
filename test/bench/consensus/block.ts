// What a request costs one validator, part by part: blocks of so many requests through door, proposal and ledger, in this process and without
// signatures of requests (their cost is `parts.ts`'s). Processor time and not the clock: what else runs beside moves it less.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import type { Packet, PrePrepare } from '../../../src/consensus/pbft/core/messages.ts';
import { batchDigest, decodePacket, encodePacket } from '../../../src/consensus/pbft/core/messages.ts';
import { newKey } from '../../../src/keys/files.ts';
import { createLedger } from '../../../src/ledger/ledger.ts';
import type { LedgerStore } from '../../../src/ledger/types.ts';
import { decodeEnvelope, encodeEnvelope } from '../../../src/protocol/envelope.ts';
import { openLedgerStore } from '../../../src/store/ledger.ts';
import { createSpeaker } from '../../../src/validator/speaker.ts';
import { genesisOf } from './cluster.ts';
import { forecastOf } from './load.ts';

const GATEWAYS = 120;
const BLOCKS = 40;
/** The cheapest of them counts: the first compile, and some meet a collection of garbage or a full disk. */
const ROUNDS = 8;
const VALID_FOR_MS = 30 * 60_000;

type Part = 'door' | 'propose' | 'encode' | 'decode' | 'verify' | 'execute' | 'store' | 'say';

/** Processor time a request, µs, of each part in the cheapest round. */
export async function blockParts(requestsPerBlock: number): Promise<Record<Part, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'wattpact-bench-block-'));
  const id = 'validator-00';
  const key = newKey();
  const gateways = new Map(Array.from({ length: GATEWAYS }, (_, i) => [`gateway-${i}`, newKey()]));
  const names = [...gateways.keys()];
  const genesis = genesisOf(new Map([[id, key]]), gateways);
  const clock = { chainMs: () => Date.now(), monotonicMs: () => performance.now() };
  const spentUs = new Map<Part, number>();
  const timed = <T>(part: Part, work: () => T): T => {
    const before = process.cpuUsage();
    const result = work();
    const { user, system } = process.cpuUsage(before);
    spentUs.set(part, (spentUs.get(part) ?? 0) + user + system);
    return result;
  };
  const file = openLedgerStore(join(folder, 'ledger.sqlite'));
  const store: LedgerStore = { ...file, append: (...block) => timed('store', () => file.append(...block)) };
  try {
    const ledger = createLedger({ genesis, verify: () => true, store, log: SILENT });
    const speaker = createSpeaker({ id, key, ledger, messaging: { publish: async () => [] }, clock, log: SILENT });
    ledger.onApplied((applied) => timed('say', () => speaker.onApplied(applied)));
    const cheapest = new Map<Part, number>();
    let made = 0;
    for (let round = 0; round < ROUNDS; round++) {
      spentUs.clear();
      for (let block = 0; block < BLOCKS; block++) {
        const payloads = Array.from({ length: requestsPerBlock }, () => {
          const name = names[made % GATEWAYS] as string;
          return encodeEnvelope(forecastOf(genesis, gateways, name, 1 + Math.floor(made++ / GATEWAYS), VALID_FOR_MS));
        });
        const waiting = timed('door', () =>
          payloads.map((payload) => {
            const request = decodeEnvelope(payload);
            const refusal = ledger.check(request, Date.now());
            if (refusal !== null) throw new Error(refusal);
            return request;
          }),
        );
        const bySignature = new Map(waiting.map((request) => [request.signature, request]));
        const batch = timed('propose', () => ledger.propose(waiting, Date.now()));
        const bytes = timed('encode', () => encodePacket(proposalOf(batch)));
        const heard = timed('decode', () => decodePacket(bytes, () => bySignature).batch as typeof batch);
        const refusal = timed('verify', () => (batchDigest(heard) === '' ? '' : ledger.verify(heard)));
        if (refusal !== null) throw new Error(refusal);
        const engineHeight = ledger.head().height + 1;
        timed('execute', () =>
          ledger.apply(heard, { engine: 'pbft', engineHeight, view: 0, proposer: id, commits: [] }),
        );
      }
      // What execution calls is told apart from it.
      const inner = (spentUs.get('store') ?? 0) + (spentUs.get('say') ?? 0);
      spentUs.set('execute', (spentUs.get('execute') ?? 0) - inner);
      for (const [part, us] of spentUs) cheapest.set(part, Math.min(us, cheapest.get(part) ?? us));
    }
    const perRequest = [...cheapest].map(([part, us]) => [part, Number((us / BLOCKS / requestsPerBlock).toFixed(1))]);
    return Object.fromEntries(perRequest) as Record<Part, number>;
  } finally {
    file.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** As it travels; its vote and signature are only as long as real ones. */
function proposalOf(batch: NonNullable<Packet['batch']>): Packet {
  const body = { digest: batchDigest(batch), height: 1, parent: '0'.repeat(64), view: 0 };
  const envelope: PrePrepare = { body, kind: 'pbft.pre-prepare', signature: 'A'.repeat(86), signer: 'validator-00' };
  return { batch, envelope };
}
