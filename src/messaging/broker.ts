// The embedded MQTT broker (aedes, MQTT 3.1.1): lets in whom its access rules let in, and holds everybody to their limits.
// It is trusted with nothing but delivery: it can delay and drop, never forge (every message is signed).
//
// Sessions are not kept (clean sessions only): nothing queues up for the absent, and whoever comes back asks again.

// Before mqtt and aedes are loaded.
import './packets.ts';

import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { Aedes, type AedesPublishPacket, type Client } from 'aedes';
import { describeError, WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { sparing, type Warn } from '../base/sparing.ts';
import type { Millis } from '../base/units.ts';
import { keyIdOf } from '../keys/files.ts';
import type { BrokerAccess, Principal } from './access.ts';
import { GuardedStream } from './guard.ts';
import { encodePublish } from './stream.ts';

/** Clients at one time, unless the caller says otherwise: sites of some feeders and their validators. */
export const CLIENTS_MAX = 1_000;
/** Connections that may be on their way in; one more, and the oldest of them is closed. */
const STRANGERS_MAX = 64;
/** A stranger says who it is within this time. */
const CONNECT_TIMEOUT_MS: Millis = 10_000;
/** Longest silence a client may ask for, s. */
const KEEPALIVE_MAX_S = 120;
const SUBSCRIPTIONS_MAX = 64;
/** Refused subscriptions (each is a line in the log) before the connection is closed; one packet can ask for thousands. */
const REFUSED_SUBSCRIPTIONS_MAX = 64;
const TOPIC_LEVELS_MAX = 8;
/** Longest that the log shows of what was refused: a topic can have 64 KiB. */
const WHAT_LENGTH_MAX = 240;
/** Above every backlog limit in access.ts: the dropping is ours, the broker never waits for a client that does not read. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;

const BAD_CREDENTIALS = 4;

export interface BrokerOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly access: BrokerAccess;
  readonly log: Log;
  readonly monotonicMs: () => Millis;
  readonly clientsMax?: number;
  /** PEM texts; with them the broker speaks TLS 1.3 only and takes client certificates as proof of a key. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Hears each message before it is acknowledged; throwing refuses it and closes the connection of its sender. */
  readonly onMessage?: (from: string, topic: string, payload: Uint8Array) => void;
}

export interface EmbeddedBroker {
  readonly port: number;
  /** `mqtt://host:port` or `mqtts://host:port`. */
  readonly url: string;
  /** Names of the clients connected now. */
  clients(): readonly string[];
  /** Closes the connections of clients whose key no longer stands. Call after a change of the parties. */
  recheck(): void;
  close(): Promise<void>;
}

/** Starts a broker; throws `broker.port` if the address cannot be had. */
export async function createBroker(options: BrokerOptions): Promise<EmbeddedBroker> {
  const { access, log, monotonicMs, clientsMax = CLIENTS_MAX } = options;
  /** Kept after the connection has ended as well: a will is checked then. */
  const principals = new WeakMap<Client, Principal>();
  const connected = new Set<Client>();
  /** Connections that have not logged in, in the order they came. */
  const strangers = new Set<GuardedStream>();
  const refusedSubscriptions = new WeakMap<Client, number>();
  /** Clients that want acknowledged deliveries (QoS 1) on some topic: theirs are the library's work. */
  const acknowledging = new WeakSet<Client>();
  const encoded = encoderOnce();
  const warn = sparing(log, monotonicMs);

  const refuse = (client: Client, principal: Principal, what: string, reason: string): Error => {
    const address = addressOf(client);
    warn(
      hostOf(address),
      { client: principal.name, address, reason },
      `broker: ${what.slice(0, WHAT_LENGTH_MAX)} refused`,
    );
    return new Error(reason);
  };
  const aedes = await Aedes.createBroker({
    concurrency: 1_000,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepaliveLimit: KEEPALIVE_MAX_S,
    maxTopicLevels: TOPIC_LEVELS_MAX,
    maxClientsIdLength: 64,
    preConnect: (client, packet, done) => {
      if (connected.size >= clientsMax) {
        const address = addressOf(client);
        warn(hostOf(address), { address, clientsMax }, 'broker: full, a client was turned away');
        return done(new Error('the broker is full'), false);
      }
      if (packet.clean === false) return done(new Error('sessions are not kept: connect with a clean session'), false);
      done(null, true);
    },
    authenticate: (client, username, password, done) => {
      const found = access.authenticate({
        clientId: client.id,
        username: username ?? '',
        password: password?.toString('utf8') ?? '',
        certificateKeyId: certificateKeyIdOf(client),
      });
      if (typeof found === 'string') {
        const address = addressOf(client);
        warn(hostOf(address), { client: client.id.slice(0, 64), address, reason: found }, 'broker: client refused');
        return done(Object.assign(new Error(found), { returnCode: BAD_CREDENTIALS }), false);
      }
      principals.set(client, found);
      strangers.delete(streamOf(client));
      connected.add(client);
      streamOf(client).once('close', () => connected.delete(client));
      streamOf(client).admit(found.limits);
      done(null, true);
    },
    authorizePublish: (client, packet, done) => {
      const principal = client === null ? undefined : principals.get(client);
      if (client === null || principal === undefined) return done(new Error('nobody known'));
      const payload = bytesOf(packet.payload);
      const reason = refusalOf(principal, packet.topic, payload.length, packet.qos, packet.retain);
      if (reason !== null) return done(refuse(client, principal, `publish on ${packet.topic}`, reason));
      try {
        options.onMessage?.(principal.name, packet.topic, payload);
      } catch (error) {
        return done(refuse(client, principal, `message on ${packet.topic}`, describeError(error)));
      }
      done(null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const principal = principals.get(client);
      if (principal === undefined) return done(new Error('nobody known'));
      const held = Object.keys((client as unknown as { subscriptions: object }).subscriptions).length;
      const allowed = held < SUBSCRIPTIONS_MAX && principal.isCurrent() && principal.maySubscribe(subscription.topic);
      if (allowed) {
        if (subscription.qos > 0) acknowledging.add(client);
        return done(null, subscription);
      }
      const refused = (refusedSubscriptions.get(client) ?? 0) + 1;
      refusedSubscriptions.set(client, refused);
      if (refused > REFUSED_SUBSCRIPTIONS_MAX) {
        streamOf(client).destroy();
        return done(new Error('too many subscriptions were refused'), null);
      }
      refuse(client, principal, `subscription to ${subscription.topic}`, 'not for this client');
      // null = SUBACK with failure; an error would close the connection.
      done(null, null);
    },
    authorizeForward: (client, packet) => {
      // Nobody here listens to himself: validators hear all of consensus, and have their own words already.
      if ((packet as { clientId?: string }).clientId === client.id) return null;
      const principal = principals.get(client);
      if (principal === undefined || !mayForward(client, packet, principal, warn)) return null;
      if (packet.retain || acknowledging.has(client)) return packet;
      streamOf(client).say(encoded(packet));
      return null;
    },
  });
  aedes.on('clientError', (client, error) => {
    log.debug({ client: principals.get(client)?.name ?? client.id, error: error.message }, 'broker: client failed');
  });
  aedes.on('connectionError', (client, error) => {
    log.debug({ address: addressOf(client), error: error.message }, 'broker: connection failed');
  });

  const handle = (socket: Socket): void => {
    const stream = new GuardedStream(socket, monotonicMs, BACKLOG_BYTES_MAX);
    strangers.add(stream);
    stream.once('close', () => strangers.delete(stream));
    // Whoever means to log in does so at once: those that are silent longest make room for him.
    const [oldest] = strangers;
    if (strangers.size > STRANGERS_MAX) oldest?.destroy();
    void aedes.handle(stream);
  };
  const server = serverFor(options, handle);
  // Those on their way to be closed count as well.
  server.maxConnections = clientsMax + 2 * STRANGERS_MAX;
  const port = await listen(server, options);
  log.info({ host: options.host, port, tls: options.tls !== undefined }, 'broker: listening');

  return {
    port,
    url: `${options.tls === undefined ? 'mqtt' : 'mqtts'}://${options.host}:${port}`,
    clients: () => [...connected].map((client) => (principals.get(client) as Principal).name),
    recheck: () => {
      for (const client of connected) {
        const principal = principals.get(client) as Principal;
        if (principal.isCurrent()) continue;
        log.info({ client: principal.name }, 'broker: client closed, its key no longer stands');
        client.close();
      }
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      await closed;
    },
  };
}

/** Why a publish is refused, or null. */
function refusalOf(principal: Principal, topic: string, bytes: number, qos: number, retain: boolean): string | null {
  if (!principal.isCurrent()) return 'the key no longer stands';
  // The broker would have to keep each message until its sender releases it.
  if (qos === 2) return 'QoS 2 is not used here';
  return principal.refusePublish(topic, bytes, retain);
}

/** True, unless so much waits for the client already that it plainly does not read: then it is closed. */
function mayForward(client: Client, packet: AedesPublishPacket, principal: Principal, warn: Warn): boolean {
  const { backlogBytes } = streamOf(client);
  const { backlogBytesMax } = principal.limits;
  if (backlogBytes + bytesOf(packet.payload).length <= backlogBytesMax) return true;
  const who = hostOf(addressOf(client));
  warn(who, { client: principal.name, backlogBytes, backlogBytesMax }, 'broker: client does not read, closed');
  streamOf(client).destroy();
  return false;
}

/** The bytes of a PUBLISH of QoS 0, the same for everybody: made for the first, kept until the next message. */
function encoderOnce(): (packet: AedesPublishPacket) => Buffer {
  let last: { readonly topic: string; readonly payload: string | Buffer; readonly bytes: Buffer } | null = null;
  return ({ topic, payload }) => {
    if (last?.payload !== payload || last.topic !== topic)
      last = { topic, payload, bytes: encodePublish(topic, bytesOf(payload)) };
    return last.bytes;
  };
}

function serverFor({ tls }: BrokerOptions, handle: (socket: Socket) => void): Server {
  if (tls === undefined) return createServer(handle);
  const { cert, key } = tls;
  // Any certificate may be shown: what counts is the key in it, which the handshake proves and the registry knows.
  const options = {
    cert,
    key,
    noDelay: true,
    minVersion: 'TLSv1.3',
    handshakeTimeout: CONNECT_TIMEOUT_MS,
    requestCert: true,
    rejectUnauthorized: false,
  } as const;
  return createTlsServer(options, handle);
}

function listen(server: Server, { host, port }: BrokerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const busy = cause.code === 'EADDRINUSE';
      reject(
        new WattpactError(
          'broker.port',
          `the broker cannot listen on ${host}:${port}: ${busy ? 'the port is busy' : cause.message}`,
          {
            hint: busy
              ? 'Choose another port, or stop what listens there'
              : 'Look at the host and the rights of this user',
            cause,
          },
        ),
      );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function streamOf(client: Client): GuardedStream {
  return client.conn as GuardedStream;
}

function addressOf(client: Client): string {
  return streamOf(client).peer;
}

/** An address without its port, which every connection has anew. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, '');
}

function certificateKeyIdOf(client: Client): string | null {
  const socket = streamOf(client).socket as Partial<TLSSocket>;
  const certificate = socket.getPeerX509Certificate?.();
  if (certificate?.publicKey.asymmetricKeyType !== 'ed25519') return null;
  return keyIdOf(certificate.publicKey.export({ format: 'jwk' }).x as string);
}

function bytesOf(payload: string | Buffer): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload) : payload;
}
