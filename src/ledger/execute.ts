// Executes one ordered request: permission, sequence, then the rule of its kind. Every request ends in a verdict, a
// refused one with its reason; it never spoils the batch it stands in.

import { REASON_LENGTH_MAX } from '../protocol/replies.ts';
import { REQUEST_SIGNERS, type Request } from '../protocol/requests.ts';
import { type Context, scheduleExpiry } from './context.ts';
import { correction } from './correction.ts';
import { baseline, feederPublish, limit, tariff } from './grid.ts';
import { delivery, meterSwap } from './meter.ts';
import { gatewayAdmit, gatewayRekey, gatewayRevoke, membership, notOperator } from './parties.ts';
import { demand, forecast, offer } from './records.ts';
import { ALL, expiryInterval, grids, ids, latest, parties, signers, sites } from './tables.ts';

/** `signedWith` is the key that the request's signature was checked against before the block. */
export function execute(context: Context, id: string, request: Request, signedWith: string): void {
  const { genesis, state } = context;
  const reason = refusal(context, id, request, signedWith);
  const { sequence, salt, validUntilMs } = request.body;
  const bucket = expiryInterval(genesis, validUntilMs);
  ids.set(state, bucket, id, 1);
  scheduleExpiry(context, bucket);
  const last = signers.get(state, request.signer, 'last');
  if (last === null || last.sequence < sequence) signers.set(state, request.signer, 'last', { salt, sequence });
  context.results.push({
    leaf: {
      kind: 'verdict',
      reason: (reason ?? '').slice(0, REASON_LENGTH_MAX),
      request: id,
      requestKind: request.kind,
      signer: request.signer,
      verdict: reason === null ? 'recorded' : 'refused',
    },
    salt,
  });
}

/** Null = recorded, with everything in effect; a reason = refused, with no effect. */
function refusal(context: Context, id: string, request: Request, signedWith: string): string | null {
  const { state } = context;
  const { signer, kind } = request;
  const party = parties.get(state, ALL, signer);
  if (party === null) return `${signer} is no party that may make requests`;
  if (party.publicKey !== signedWith) return `the key of ${signer} changed in this block`;
  if (party.role !== REQUEST_SIGNERS[kind]) {
    return `${kind} is not for ${party.role === 'gateway' ? 'a' : 'an'} ${party.role} to sign`;
  }
  if (party.role !== 'gateway') return ofAuthority(context, request);
  const site = sites.get(state, signer, 'admission');
  if (site === null) return `no site of ${signer} is known`;
  switch (kind) {
    case 'forecast':
      return forecast(context, site, request.body);
    case 'demand':
      return demand(context, site, request.body);
    case 'offer':
      return offer(context, site, id, request.body);
    case 'delivery':
      return delivery(context, site, request.body);
    case 'correction':
      return correction(context, site, request.body);
    default:
      return `${kind} is not for a gateway to sign`;
  }
}

/** Statements of operators and utilities: of each kind and subject only a higher sequence counts. */
function ofAuthority(context: Context, request: Request): string | null {
  const { state } = context;
  const name = `${request.kind}.${subjectOf(request)}`;
  const known = latest.get(state, request.signer, name) ?? 0;
  if (request.body.sequence <= known) return `superseded: sequence ${known} of the same statement is already recorded`;
  const reason = byKind(context, request);
  if (reason === null) latest.set(state, request.signer, name, request.body.sequence);
  return reason;
}

function byKind(context: Context, request: Request): string | null {
  const { signer } = request;
  switch (request.kind) {
    case 'baseline':
      return baseline(context, signer, request.body);
    case 'feeder.publish':
      return feederPublish(context, signer, request.body);
    case 'gateway.admit':
      return gatewayAdmit(context, signer, request.body);
    case 'gateway.rekey':
      return gatewayRekey(context, signer, request.body);
    case 'gateway.revoke':
      return gatewayRevoke(context, signer, request.body);
    case 'limit':
      return limit(context, signer, request.body);
    case 'membership':
      return membership(context, request.body);
    case 'meter.swap': {
      const site = sites.get(context.state, request.body.gateway, 'admission');
      if (site === null) return `no gateway ${request.body.gateway} is known`;
      if (grids.get(context.state, ALL, site.feeder)?.operator !== signer) return notOperator(signer, site.feeder);
      return meterSwap(context, site, request.body);
    }
    case 'tariff':
      return tariff(context, signer, request.body);
    default:
      return `${request.kind} is not for ${signer} to sign`;
  }
}

function subjectOf(request: Request): string {
  switch (request.kind) {
    case 'baseline':
    case 'limit':
    case 'tariff':
      return request.body.feeder;
    case 'feeder.publish':
      return request.body.feeder.id;
    case 'gateway.admit':
      return request.body.admission.gateway;
    case 'membership':
      return request.body.change.validator;
    case 'gateway.rekey':
    case 'gateway.revoke':
    case 'meter.swap':
      return request.body.gateway;
    default:
      return request.signer;
  }
}
