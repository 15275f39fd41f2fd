// Requests on their way: signed once, on disk before they leave, resent until decided, counted reply by reply.
// Owns the carrying out; the life of a request is contract/life.ts, which it drives. Survives kill -9 at any instant: what is in the store
// is what was signed, and it is sent again byte for byte.

import { toBase64url } from '../base/bytes.ts';
import { type JsonObject, parseCanonical } from '../base/canonical.ts';
import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { RandomBytes } from '../base/random.ts';
import type { Millis } from '../base/units.ts';
import { confirmations, isDecided, type LifeEvent, newRequest, type RequestLife, stepLife } from '../contract/life.ts';
import type { Messaging } from '../messaging/client.ts';
import { encodeEnvelope, messageId, parseEnvelope, type Sign, seal } from '../protocol/envelope.ts';
import { type Header, headerHash } from '../protocol/header.ts';
import type { Proof, SignedBody } from '../protocol/replies.ts';
import type { RequestBody, RequestKind } from '../protocol/requests.ts';
import type { GatewayStore, StoredRequest } from '../store/gateway.ts';
import type { GatewayListener } from './events.ts';

/** What a caller says of a request; salt, sequence and validity are added here. */
export type RequestDraft<K extends RequestKind> = Omit<RequestBody<K>, 'salt' | 'sequence' | 'validUntilMs'>;

export interface Requester {
  /** Signs, persists, sends. Returns the request's id. Throws `clock.unsynchronised` when the clock is not proven. */
  submit<K extends RequestKind>(kind: K, interval: number | null, draft: RequestDraft<K>, validUntilMs: Millis): string;
  /** A genuine proof of a verdict on a request of ours, under an attested header. */
  onVerdict(proof: Proof, header: Header): void;
  onAbsent(validator: string, body: SignedBody<'absent'>): void;
  onHint(validator: string, body: SignedBody<'hint'>): void;
  /** Resends what is due, asks for what is past its validity. Called every second or so. */
  tick(): void;
  life(id: string): RequestLife | null;
}

export function createRequester(options: {
  chain: string;
  gateway: string;
  /** Where this party's requests go; a gateway's unless said otherwise. */
  channel?: 'request' | 'operator';
  sign: Sign;
  store: Pick<GatewayStore, 'requests'>;
  messaging: Pick<Messaging, 'send' | 'forget'>;
  clock: Clock;
  randomBytes: RandomBytes;
  /** Identical words that decide, and out of how many validators: of those that agreed on a header, or now. */
  quorum: (header?: Header) => { readonly k: number; readonly n: number };
  /** Why nothing may be signed now, or null. */
  mayNotSign: () => string | null;
  /** Asks the validators for these requests again. */
  ask: (ids: readonly string[]) => void;
  emit: GatewayListener;
  log: Log;
}): Requester {
  const { chain, gateway, sign, store, messaging, clock, quorum, emit, log } = options;
  /** Everything undecided, and what was decided lately (so that late replies raise the count people see). */
  const live = new Map<string, { request: StoredRequest; life: RequestLife }>();
  for (const request of store.requests.undecided()) live.set(request.id, { request, life: request.life });

  function submit<K extends RequestKind>(
    kind: K,
    interval: number | null,
    draft: RequestDraft<K>,
    validUntilMs: Millis,
  ): string {
    const obstacle = options.mayNotSign();
    if (obstacle !== null) throw new WattpactError('clock.unsynchronised', `${kind} not signed: ${obstacle}`);
    const request = store.requests.create((sequence) => {
      const salt = toBase64url(options.randomBytes(16));
      const body = { ...(draft as JsonObject), salt, sequence, validUntilMs };
      const envelope = seal(chain, kind, gateway, body, sign);
      const id = messageId(chain, envelope);
      const life = newRequest(id, validUntilMs);
      return { id, kind, interval, bytes: encodeEnvelope(envelope), createdAtMs: clock.chainMs(), life };
    });
    live.set(request.id, { request, life: request.life });
    drive(request.id, { type: 'tick', monotonicMs: clock.monotonicMs(), chainMs: clock.chainMs() });
    return request.id;
  }

  /** One event through the life of a request: what changes is persisted, then acted on, then shown. */
  function drive(id: string, event: LifeEvent, header?: Header): void {
    const entry = live.get(id);
    if (entry === undefined) return;
    const before = entry.life;
    const { life, effect } = stepLife(before, event, quorum(header).k);
    if (life !== before) {
      entry.life = life;
      if (event.type !== 'tick') store.requests.saveLife(life);
    }
    if (effect === 'send') void messaging.send(id, options.channel ?? 'request', [gateway], entry.request.bytes);
    if (effect === 'ask') options.ask([id]);
    if (isDecided(life) && !isDecided(before)) {
      messaging.forget(id);
      log.info({ request: id, kind: entry.request.kind, phase: life.phase }, 'request decided');
    }
    if (life.phase !== before.phase || confirmations(life) !== confirmations(before) || effect !== null) {
      show(entry.request, life);
    }
    if (isDecided(life) && clock.chainMs() > life.validUntilMs) live.delete(id);
  }

  function show(request: StoredRequest, life: RequestLife): void {
    const { k, n } = quorum();
    emit({
      type: 'request',
      id: request.id,
      kind: request.kind,
      interval: request.interval,
      energyWh: energyOf(request),
      phase: life.phase,
      reason: reasonOf(life),
      confirmations: confirmations(life),
      needed: k,
      validators: n,
    });
  }

  return {
    submit,
    onVerdict({ leaf, attestation }, header) {
      if (leaf.kind !== 'verdict' || leaf.signer !== gateway) return;
      const { verdict, reason } = leaf;
      const { height, timeMs } = header;
      const decision = { verdict, reason, height, header: headerHash(header), timeMs };
      drive(leaf.request, { type: 'reply', validator: attestation.signer, decision }, header);
    },
    onAbsent(validator, body) {
      drive(body.request, { type: 'absent', validator, timeMs: body.timeMs });
    },
    onHint(validator, body) {
      drive(body.request, { type: 'hint', validator, reason: body.reason });
    },
    tick() {
      const event = { type: 'tick', monotonicMs: clock.monotonicMs(), chainMs: clock.chainMs() } as const;
      for (const id of [...live.keys()]) drive(id, event);
    },
    life: (id) => live.get(id)?.life ?? store.requests.get(id)?.life ?? null,
  };
}

function reasonOf(life: RequestLife): string {
  if (life.phase === 'refused') return life.decision.reason;
  return life.phase === 'undecided' ? life.hints.join('; ') : '';
}

/** Wh that a request speaks of, for people: what is forecast or needed, net of an offer (+ to sell), net of a delivery. */
function energyOf({ kind, bytes }: StoredRequest): number | null {
  const { body } = parseEnvelope(parseCanonical(bytes));
  switch (kind as RequestKind) {
    case 'forecast':
    case 'demand':
      return (body as RequestBody<'forecast'>).energyWh;
    case 'offer': {
      const { sell, buy } = body as RequestBody<'offer'>;
      return total(sell) - total(buy);
    }
    case 'delivery':
    case 'correction': {
      const { exportEndWh, exportStartWh, importEndWh, importStartWh } = body as RequestBody<'delivery'>;
      return exportEndWh - exportStartWh - (importEndWh - importStartWh);
    }
    default:
      return null;
  }
}

function total(steps: readonly { readonly energyWh: number }[]): number {
  return steps.reduce((sum, { energyWh }) => sum + energyWh, 0);
}
