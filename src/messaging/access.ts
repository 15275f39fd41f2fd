// Who may connect to an embedded broker, and what it may say and hear there. The rules themselves are the table of topics
// (protocol/topics.ts); here they meet a connection.

import type { Clock } from '../base/clock.ts';
import type { Verify } from '../protocol/envelope.ts';
import { MESSAGE_BYTES_MAX } from '../protocol/envelope.ts';
import { GATEWAY_REQUEST_BYTES_MAX } from '../protocol/requests.ts';
import {
  type Channel,
  mayPublish,
  maySubscribe,
  type Party,
  parseTopic,
  type Role,
  SITE_OVERRIDE_TOPIC,
  siteDemandTopic,
} from '../protocol/topics.ts';
import { refuseLogin } from './login.ts';

/** What a client presents. */
export interface Credentials {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  /** Key id of the Ed25519 key of its TLS certificate: possession is proven by the handshake. Null without one. */
  readonly certificateKeyId: string | null;
}

/** Limits of one connection. */
export interface ConnectionLimits {
  /** Largest packet it may send. */
  readonly packetBytesMax: number;
  /** Steady rate of packets of any kind, and how far it may run ahead of it at once; beyond, it is read more slowly. */
  readonly messagesPerSecond: number;
  readonly messagesBurst: number;
  readonly bytesPerSecond: number;
  readonly bytesBurst: number;
  /** Most bytes waiting for it; a client that does not read is dropped, never waited for. */
  readonly backlogBytesMax: number;
}

/** A client that was let in. */
export interface Principal {
  readonly name: string;
  readonly limits: ConnectionLimits;
  /** Null, or why it may not publish this. */
  refusePublish(topic: string, bytes: number, retained: boolean): string | null;
  maySubscribe(filter: string): boolean;
  /** False once its key is revoked or replaced. */
  isCurrent(): boolean;
}

export interface BrokerAccess {
  /** The client, or in plain words why it is not let in. */
  authenticate(credentials: Credentials): Principal | string;
}

/** Head room of a packet around its payload: topic and packet id. */
const PACKET_HEAD_BYTES_MAX = 1024;

const LARGE: ConnectionLimits = {
  packetBytesMax: MESSAGE_BYTES_MAX + PACKET_HEAD_BYTES_MAX,
  messagesPerSecond: 5_000,
  messagesBurst: 20_000,
  bytesPerSecond: 32 * 1024 * 1024,
  bytesBurst: 64 * 1024 * 1024,
  backlogBytesMax: 32 * 1024 * 1024,
};
const SMALL: ConnectionLimits = {
  packetBytesMax: GATEWAY_REQUEST_BYTES_MAX + PACKET_HEAD_BYTES_MAX,
  messagesPerSecond: 50,
  messagesBurst: 500,
  bytesPerSecond: 128 * 1024,
  bytesBurst: 1024 * 1024,
  backlogBytesMax: 4 * 1024 * 1024,
};

/** Validators carry batches and state; a gateway says little and hears notices. */
export const LIMITS_OF_ROLES: Readonly<Record<Role, ConnectionLimits>> = {
  validator: LARGE,
  operator: LARGE,
  gateway: SMALL,
  observer: SMALL,
};

/** Smaller limits of single channels, bytes of payload. */
const CHANNEL_BYTES_MAX: Readonly<Partial<Record<Channel, number>>> = {
  request: GATEWAY_REQUEST_BYTES_MAX,
  /** Retained: what every broker keeps of every node. */
  status: 4 * 1024,
};

export interface ChainAccessOptions {
  readonly chain: string;
  /** Id of this broker, as clients name it in their logins. */
  readonly broker: string;
  /** The party that holds a key now, by key id; null = unknown or revoked. */
  readonly partyOf: (keyId: string) => Party | null;
  readonly verify: Verify;
  readonly clock: Clock;
  readonly limits?: Readonly<Record<Role, ConnectionLimits>>;
}

/** Access to a chain's topics: by a signed login or a TLS certificate, for the parties the chain knows. */
export function chainAccess(options: ChainAccessOptions): BrokerAccess {
  const { chain, broker, partyOf, verify, clock, limits = LIMITS_OF_ROLES } = options;
  return {
    authenticate: ({ clientId, password, certificateKeyId }) => {
      if (certificateKeyId !== clientId) {
        const refusal = refuseLogin(password, { chain, broker, clientId, nowMs: clock.chainMs(), verify });
        if (refusal !== null) return refusal;
      }
      const party = partyOf(clientId);
      if (party === null) return 'no party of this chain has this key';
      return {
        name: party.id,
        limits: limits[party.role],
        refusePublish: (topic, bytes, retained) => refuseChainPublish(chain, party, topic, bytes, retained),
        maySubscribe: (filter) => maySubscribe(chain, party, filter),
        isCurrent: () => {
          const now = partyOf(clientId);
          return now !== null && now.id === party.id && now.role === party.role;
        },
      };
    },
  };
}

function refuseChainPublish(
  chain: string,
  party: Party,
  topic: string,
  bytes: number,
  retained: boolean,
): string | null {
  const channel = parseTopic(chain, topic)?.channel;
  if (channel === undefined || !mayPublish(chain, party, topic))
    return `${party.role} ${party.id} may not publish there`;
  if (retained && channel !== 'status') return 'only status may be retained';
  const bytesMax = CHANNEL_BYTES_MAX[channel] ?? MESSAGE_BYTES_MAX;
  return bytes > bytesMax ? `${bytes} bytes are over the limit of ${bytesMax}` : null;
}

/** Largest statement of a customer: 96 intervals are about 6 KB. */
export const STATED_DEMAND_BYTES_MAX = 16 * 1024;

/**
 * Access to a site's own broker: customers state their demand, each on its own topic, and hear nothing; the owner (a user name that no
 * customer can have) says his overrides.
 */
export function siteAccess(
  isToken: (customer: string, token: string) => boolean,
  ownerName: string | null = null,
): BrokerAccess {
  return {
    authenticate: ({ username, password }) => {
      if (!isToken(username, password)) return 'no customer of this site has this user name and token';
      const own = username === ownerName ? SITE_OVERRIDE_TOPIC : siteDemandTopic(username);
      return {
        name: username,
        limits: { ...SMALL, messagesPerSecond: 5, messagesBurst: 50 },
        refusePublish: (topic, bytes, retained) => {
          if (topic !== own) return `${username} may publish on ${own} only`;
          if (retained) return 'nothing may be retained here';
          return bytes > STATED_DEMAND_BYTES_MAX
            ? `${bytes} bytes are over the limit of ${STATED_DEMAND_BYTES_MAX}`
            : null;
        },
        maySubscribe: () => false,
        isCurrent: () => isToken(username, password),
      };
    },
  };
}
