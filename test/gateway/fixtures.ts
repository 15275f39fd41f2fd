// Replies as validators make them, signed with the vectors' keys, and a stand-in for messaging that a test feeds by hand.

import { toHex } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import { SILENT } from '../../src/base/log.ts';
import { newRequest, type RequestLife } from '../../src/contract/life.ts';
import type { Consortium } from '../../src/demo/consortium.ts';
import { fastVerify } from '../../src/keys/verify.ts';
import { chainAccess } from '../../src/messaging/access.ts';
import { createBroker } from '../../src/messaging/broker.ts';
import type { Message, MessageHandler, Messaging } from '../../src/messaging/client.ts';
import { type Envelope, encodeEnvelope, seal } from '../../src/protocol/envelope.ts';
import { attest, type Header, NO_PARENT, validatorSetHash } from '../../src/protocol/header.ts';
import { leafHash, merklePath, merkleRoot } from '../../src/protocol/merkle.ts';
import { encodeProof, type Leaf, leafBytes, type Proof } from '../../src/protocol/replies.ts';
import type { RequestKind } from '../../src/protocol/requests.ts';
import { afterwards } from '../messaging/fixtures.ts';
import { GENESIS, salt, T0_MS, testKey } from '../vectors/examples.ts';

export { GENESIS, salt, T0_MS, testKey };
export const chain = GENESIS.chain;
export const verify = fastVerify;

/** A broker for the consortium's parties, closed after the test; returns its address. */
export async function brokerOf({ genesis, keys }: Consortium, clock: Clock): Promise<string> {
  const parties = [
    ...genesis.gateways.map(({ gateway }) => ({ id: gateway, role: 'gateway' as const })),
    ...genesis.validators.map(({ id }) => ({ id, role: 'validator' as const })),
    ...genesis.operators.map(({ id }) => ({ id, role: 'operator' as const })),
  ];
  const broker = await createBroker({
    host: '127.0.0.1',
    port: 0,
    access: chainAccess({
      chain: genesis.chain,
      broker: 'broker',
      partyOf: (keyId) => parties.find(({ id }) => keys.get(id)?.keyId === keyId) ?? null,
      verify: fastVerify,
      clock,
    }),
    log: SILENT,
    monotonicMs: clock.monotonicMs,
  });
  afterwards(() => broker.close());
  return `mqtt://127.0.0.1:${broker.port}?broker=broker`;
}

export interface Fed {
  readonly messaging: Pick<Messaging, 'subscribe'>;
  /** Delivers a payload as if published on the channel at this path. */
  feed(channel: string, path: readonly string[], payload: Uint8Array): void;
}

export function fedMessaging(): Fed {
  const handlers = new Map<string, MessageHandler[]>();
  return {
    messaging: {
      subscribe(channel, _path, _bytesMax, handler) {
        handlers.set(channel, [...(handlers.get(channel) ?? []), handler]);
        return () => undefined;
      },
    },
    feed(channel, path, payload) {
      const message: Message = { path, payload, broker: 'test' };
      for (const handler of handlers.get(channel) ?? []) handler(message);
    },
  };
}

export function verdictLeaf(request: string, verdict: 'recorded' | 'refused' = 'recorded', reason = ''): Leaf {
  return { kind: 'verdict', reason, request, requestKind: 'offer', signer: 'gateway-farm', verdict };
}

/** A proof of a leaf in a block of its own with another leaf beside it. */
export function proofOf(validator: string, leaf: Leaf, changes: Partial<Header> = {}, keyOf = validator): Proof {
  const leaves = [leaf, verdictLeaf('f'.repeat(64))].map((each) => leafHash(leafBytes(salt, each)));
  const header: Header = {
    chain,
    height: 7,
    parent: NO_PARENT,
    resultsRoot: toHex(merkleRoot(leaves)),
    stateHash: 'ab'.repeat(32),
    timeMs: T0_MS - 1,
    validatorSet: validatorSetHash(GENESIS.validators),
    ...changes,
  };
  return {
    attestation: attest(header, validator, testKey(keyOf).sign),
    index: 0,
    kind: 'proof',
    leaf,
    path: merklePath(leaves, 0).map(toHex),
    salt,
    size: 2,
  };
}

export function proofBytes(...args: Parameters<typeof proofOf>): Uint8Array {
  return encodeProof(proofOf(...args));
}

export function signedBytes(kind: string, validator: string, body: Envelope['body'], keyOf = validator): Uint8Array {
  return encodeEnvelope(seal(chain, kind, validator, body, testKey(keyOf).sign));
}

/** Takes every request; how each ends is said by the test. */
export function fakeRequester() {
  const submitted: { id: string; kind: RequestKind; interval: number | null; draft: unknown; validUntilMs: number }[] =
    [];
  const lives = new Map<string, RequestLife>();
  let failure: Error | null = null;
  return {
    submitted,
    failWith(error: Error | null): void {
      failure = error;
    },
    submit(kind: RequestKind, interval: number | null, draft: unknown, validUntilMs: number): string {
      if (failure !== null) throw failure;
      const id = String(submitted.length);
      submitted.push({ id, kind, interval, draft, validUntilMs });
      lives.set(id, newRequest(id, validUntilMs));
      return id;
    },
    life: (id: string) => lives.get(id) ?? null,
    end(place: number, phase: RequestLife['phase']): void {
      const life = lives.get(String(place)) as RequestLife;
      lives.set(String(place), { ...life, phase, decision: { reason: 'a reason' } } as unknown as RequestLife);
    },
  };
}
