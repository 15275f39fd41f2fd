// Who takes part: admission, rekeying and revocation of gateways, and the validators' membership. Each rule returns why
// the request is refused, or null after it has taken effect.

import { Point } from '@noble/ed25519';
import { fromBase64url } from '../base/bytes.ts';
import type { JsonObject } from '../base/canonical.ts';
import { intervalAt } from '../base/interval.ts';
import type { Admission } from '../protocol/genesis.ts';
import { type ValidatorKey, validatorSetHash } from '../protocol/header.ts';
import { consensusQuorum } from '../protocol/quorum.ts';
import { approvalBytes, possessionBytes, type RequestBody } from '../protocol/requests.ts';
import type { Context } from './context.ts';
import type { State } from './state.ts';
import {
  ALL,
  accounts,
  feederAt,
  grids,
  marketKey,
  members,
  meters,
  offers,
  parties,
  sites,
  validators,
} from './tables.ts';

/** Why a public key must not be registered, or null. Small-order keys sign anything, non-canonical ones have two names. */
export function keyProblem(publicKey: string): string | null {
  try {
    const point = Point.fromBytes(fromBase64url(publicKey), false);
    return point.isSmallOrder() ? 'the public key is of small order' : null;
  } catch {
    return 'the public key is not a canonical Ed25519 point';
  }
}

export function validatorKeys(state: State): ValidatorKey[] {
  return validators.list(state, ALL).map(({ name, value }) => ({ id: name, publicKey: value }));
}

export function gatewayAdmit(context: Context, operator: string, body: RequestBody<'gateway.admit'>): string | null {
  const { state, timeMs, genesis } = context;
  const { admission } = body;
  const id = admission.gateway;
  if (grids.get(state, ALL, admission.feeder)?.operator !== operator) return notOperator(operator, admission.feeder);
  const known = parties.get(state, ALL, id);
  const site = sites.get(state, id, 'admission');
  if ((known !== null && known.role !== 'gateway') || validators.has(state, ALL, id))
    return `the id ${id} is another party's`;
  if (known !== null && known.publicKey !== admission.publicKey)
    return `gateway ${id} is known with another key: rekey it`;
  if (site !== null && site.feeder !== admission.feeder) return `gateway ${id} is on feeder ${site.feeder}`;
  if (site !== null && site.meterSerial !== admission.meterSerial)
    return `the meter of ${id} changes by meter.swap only`;
  const feeder = feederAt(state, admission.feeder, intervalAt(timeMs, genesis.interval.lengthMs));
  if (!feeder?.buses.some((bus) => bus.id === admission.bus))
    return `no bus ${admission.bus} on feeder ${admission.feeder}`;
  const problem =
    keyProblem(admission.publicKey) ?? possessionProblem(context, admission, admission.publicKey, body.possession);
  if (problem !== null) return problem;
  admit(state, admission);
  return null;
}

/** Enters a site with its key and account. */
export function admit(state: State, admission: Admission): void {
  const id = admission.gateway;
  sites.set(state, id, 'admission', admission);
  parties.set(state, ALL, id, { publicKey: admission.publicKey, role: 'gateway' });
  if (!accounts.has(state, ALL, id)) accounts.set(state, ALL, id, '0');
  if (!members.has(state, admission.feeder, id)) members.set(state, admission.feeder, id, -1);
}

export function gatewayRekey(context: Context, operator: string, body: RequestBody<'gateway.rekey'>): string | null {
  const { state } = context;
  const site = sites.get(state, body.gateway, 'admission');
  if (site === null) return `no gateway ${body.gateway} is known`;
  if (grids.get(state, ALL, site.feeder)?.operator !== operator) return notOperator(operator, site.feeder);
  const { gateway, publicKey } = body;
  if (parties.get(state, ALL, gateway)?.publicKey === publicKey) return `${gateway} has this key already`;
  const problem =
    keyProblem(publicKey) ?? possessionProblem(context, { gateway, publicKey }, publicKey, body.possession);
  if (problem !== null) return problem;
  dropOffers(context, site);
  sites.set(state, gateway, 'admission', { ...site, publicKey });
  parties.set(state, ALL, gateway, { publicKey, role: 'gateway' });
  return null;
}

export function gatewayRevoke(context: Context, operator: string, body: RequestBody<'gateway.revoke'>): string | null {
  const { state } = context;
  const site = sites.get(state, body.gateway, 'admission');
  if (site === null) return `no gateway ${body.gateway} is known`;
  if (grids.get(state, ALL, site.feeder)?.operator !== operator) return notOperator(operator, site.feeder);
  if (parties.get(state, ALL, body.gateway)?.publicKey === null) return `${body.gateway} is revoked already`;
  dropOffers(context, site);
  parties.set(state, ALL, body.gateway, { publicKey: null, role: 'gateway' });
  // What it was cleared for is still settled; from the next interval on it is no longer expected to deliver.
  members.set(state, site.feeder, body.gateway, -1);
  return null;
}

/** Open offers fall with their key; cleared trades stand. */
function dropOffers({ state, genesis, timeMs }: Context, site: Admission): void {
  const { lengthMs, gateOpenMs } = genesis.interval;
  const last = intervalAt(timeMs + gateOpenMs, lengthMs);
  for (let interval = intervalAt(timeMs, lengthMs); interval <= last; interval++) {
    offers.delete(state, marketKey(site.feeder, interval), site.gateway);
  }
}

export function membership(context: Context, body: RequestBody<'membership'>): string | null {
  const { state, genesis, verify } = context;
  const { change } = body;
  const present = validatorKeys(state);
  // Also refuses a second change in one block: the first has made another set.
  if (change.validatorSet !== validatorSetHash(present)) return 'the change is not of the validator set in force';
  const known = present.find(({ id }) => id === change.validator);
  if (change.publicKey === null) {
    if (known === undefined) return `no validator ${change.validator} to remove`;
    if (present.length === 1) return 'the last validator cannot be removed';
  } else {
    if (parties.has(state, ALL, change.validator)) return `the id ${change.validator} is another party's`;
    if (present.some(({ publicKey }) => publicKey === change.publicKey)) return 'a validator has this key already';
    const problem =
      keyProblem(change.publicKey) ?? possessionProblem(context, change, change.publicKey, body.possession ?? '');
    if (problem !== null) return problem;
  }
  const signed = approvalBytes(genesis.chain, change);
  const approvers = (keys: readonly ValidatorKey[]): number =>
    keys.filter(({ id, publicKey }) =>
      body.approvals.some(
        ({ signer, signature }) => signer === id && verify(fromBase64url(signature), signed, fromBase64url(publicKey)),
      ),
    ).length;
  const quorum = consensusQuorum(present.length);
  const byValidators = approvers(present);
  if (byValidators < quorum) return `${byValidators} validators approve, ${quorum} are needed`;
  const byOperators = approvers(genesis.operators);
  if (byOperators < genesis.operatorThreshold) {
    return `${byOperators} operators approve, ${genesis.operatorThreshold} are needed`;
  }
  if (change.publicKey === null) validators.delete(state, ALL, change.validator);
  else validators.set(state, ALL, change.validator, change.publicKey);
  return null;
}

function possessionProblem(context: Context, value: JsonObject, publicKey: string, signature: string): string | null {
  const signed = possessionBytes(context.genesis.chain, value);
  const holds = signature !== '' && context.verify(fromBase64url(signature), signed, fromBase64url(publicKey));
  return holds ? null : 'the proof of possession of the new key does not hold';
}

export function notOperator(signer: string, feeder: string): string {
  return `${signer} does not operate feeder ${feeder}`;
}

/** The serial of a site's meter follows swaps. */
export function withMeter(state: State, admission: Admission): Admission {
  const serial = meters.get(state, admission.gateway, 'last')?.serial;
  return serial === undefined ? admission : { ...admission, meterSerial: serial };
}
