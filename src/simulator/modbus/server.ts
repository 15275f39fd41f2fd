// One Modbus bus served to masters: several unit ids on a TCP port (Modbus TCP or RTU framing) or on a serial line.
// Owns sockets and the serial port; what a unit answers is its own matter, line faults included.

import net from 'node:net';
import { SerialPort } from 'serialport';
import { concatBytes } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { WattpactError } from '../../base/errors.ts';
import { type Frame, type Framing, rtuFraming, tcpFraming } from './framing.ts';
import { EXCEPTION, exceptionPdu, isWrite } from './pdu.ts';

/** Most masters on one bus at a time; the next one is refused. */
const CONNECTIONS_MAX = 32;
/** Most requests of one master that wait for a slow device; more end its connection. */
const PENDING_MAX = 64;
/** Most bytes kept of a request that is not yet whole. */
const BUFFER_BYTES_MAX = 4096;
/** RTU bytes older than this are the start of nothing: the pause between frames is far shorter. */
const RTU_PAUSE_MS = 250;

/** Answers one request: the response, or null to stay silent. */
export type AnswerUnit = (pdu: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>;

type WallClock = Pick<Clock, 'monotonicMs'>;

export type Units = ReadonlyMap<number, AnswerUnit>;

export interface BusServer {
  close(): Promise<void>;
  /** Drops every connection; while lost, nothing is answered. */
  setLost(lost: boolean): void;
}

export interface TcpBusServer extends BusServer {
  readonly port: number;
}

/** Serves the units on a TCP port (0: any free one). Throws `simulator.listen`. */
export async function serveTcp(
  units: Units,
  options: { host: string; port: number; framing: 'tcp' | 'rtu'; clock: WallClock },
): Promise<TcpBusServer> {
  const framing = options.framing === 'tcp' ? tcpFraming : rtuFraming;
  const sockets = new Set<net.Socket>();
  let lost = false;
  const server = net.createServer({ noDelay: true }, (socket) => {
    if (lost || sockets.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    const session = createSession(units, framing, options.framing === 'rtu', options.clock, {
      send: (bytes) => socket.writable && socket.write(bytes),
      drop: () => socket.destroy(),
    });
    socket.on('data', (chunk) => session.take(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new WattpactError('simulator.listen', `cannot serve devices on ${options.host}:${options.port}`, {
          hint: 'Is the port in use? Port 0 takes a free one',
          cause,
        }),
      ),
    );
    server.listen(options.port, options.host, resolve);
  });
  const dropAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as net.AddressInfo).port,
    setLost(next) {
      lost = next;
      if (lost) dropAll();
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropAll();
      await closed;
    },
  };
}

/** Serves the units on a serial device (or one end of a pty pair). Throws `simulator.listen`. */
export async function serveSerial(
  units: Units,
  options: { path: string; baudRate: number; parity?: 'none' | 'even' | 'odd'; stopBits?: 1 | 2; clock: WallClock },
): Promise<BusServer> {
  const { path, baudRate, parity = 'none', stopBits = 1 } = options;
  const port = new SerialPort({ path, baudRate, parity, stopBits, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((cause) =>
      cause === null || cause === undefined
        ? resolve()
        : reject(new WattpactError('simulator.listen', `cannot open the serial device ${path}`, { cause })),
    );
  });
  let lost = false;
  const session = createSession(units, rtuFraming, true, options.clock, {
    send: (bytes) => void port.write(bytes),
    drop: () => {},
  });
  port.on('data', (chunk: Buffer) => {
    if (!lost) session.take(chunk);
  });
  port.on('error', () => {});
  return {
    setLost(next) {
      lost = next;
    },
    close: () =>
      new Promise<void>((resolve) => {
        if (port.isOpen) port.close(() => resolve());
        else resolve();
      }),
  };
}

interface Line {
  send(bytes: Uint8Array): void;
  drop(): void;
}

/** The requests of one master, answered in their order. */
function createSession(
  units: Units,
  framing: Framing,
  serial: boolean,
  clock: WallClock,
  line: Line,
): { take(chunk: Uint8Array): void } {
  let rest: Uint8Array = new Uint8Array();
  let lastMs = 0;
  let pending = 0;
  let tail: Promise<void> = Promise.resolve();

  async function answer(frame: Frame): Promise<void> {
    if (serial && frame.unitId === 0) {
      // A broadcast: every unit writes, nobody answers.
      if (isWrite(frame.pdu[0] ?? 0)) await Promise.all([...units.values()].map((unit) => unit(frame.pdu)));
      return;
    }
    const unit = units.get(frame.unitId);
    if (unit !== undefined) {
      const pdu = await unit(frame.pdu);
      if (pdu !== null) line.send(framing.join(frame, pdu));
    } else if (!serial) {
      line.send(framing.join(frame, exceptionPdu(frame.pdu[0] ?? 0, EXCEPTION.gatewayTarget)));
    }
  }

  return {
    take(chunk) {
      const now = clock.monotonicMs();
      if (serial && now - lastMs > RTU_PAUSE_MS) rest = new Uint8Array();
      lastMs = now;
      const split = framing.split(concatBytes(rest, chunk));
      rest = split.rest;
      for (const frame of split.frames) {
        pending += 1;
        tail = tail
          .then(() => answer(frame))
          .finally(() => {
            pending -= 1;
          });
      }
      if (split.broken || rest.length > BUFFER_BYTES_MAX || pending > PENDING_MAX) {
        rest = new Uint8Array();
        line.drop();
      }
    },
  };
}
