// A line as the bus sees it, and modbus-serial behind it for RTU: one request, one answer or one typed error. Its callbacks,
// error shapes and timers end here. Modbus TCP has a line of its own (tcp-line.ts).
// Owns time-outs and the checks that an answer belongs to its question; the order of requests is bus.ts.

import type { Bus, Table } from '../site/types.ts';
import { exceptionText, FieldbusError } from './errors.ts';
import type { FramePort } from './ports.ts';
import { createTcpLine } from './tcp-line.ts';

const CONNECT_TIMEOUT_MS = 5_000;

export interface Line {
  /** `host:port` or the serial path, for messages. */
  readonly where: string;
  readonly isOpen: boolean;
  open(): Promise<void>;
  close(): Promise<void>;
  /** Called once each time an open line is lost. */
  onLost(callback: () => void): void;
  read(unitId: number, table: Table, address: number, count: number, timeoutMs: number): Promise<number[]>;
  write(
    unitId: number,
    table: 'holding' | 'coil',
    address: number,
    words: readonly number[],
    single: boolean,
    timeoutMs: number,
  ): Promise<void>;
}

/** What modbus-serial hands back, whatever the function. */
interface Answer {
  readonly data?: readonly (number | boolean)[];
  readonly address?: number;
  readonly value?: number;
  readonly state?: boolean;
  readonly length?: number;
}

type Next = (error: unknown, answer?: Answer) => void;

/** The methods of modbus-serial that are used: they take the unit as an argument, not as a state. */
interface Client {
  readonly isOpen: boolean;
  open(done: (error?: Error | null) => void): void;
  close(done: () => void): void;
  on(event: 'close' | 'error', listener: (error?: unknown) => void): void;
  writeFC1(unit: number, address: number, count: number, next: Next): void;
  writeFC2(unit: number, address: number, count: number, next: Next): void;
  writeFC3(unit: number, address: number, count: number, next: Next): void;
  writeFC4(unit: number, address: number, count: number, next: Next): void;
  writeFC5(unit: number, address: number, state: boolean, next: Next): void;
  writeFC6(unit: number, address: number, value: number, next: Next): void;
  writeFC15(unit: number, address: number, states: boolean[], next: Next): void;
  writeFC16(unit: number, address: number, values: number[], next: Next): void;
}

export function openableLine(bus: Bus): Line {
  if (bus.kind === 'tcp') return createTcpLine(bus.host, bus.port, CONNECT_TIMEOUT_MS);
  const where = bus.kind === 'rtu' ? bus.path : `${bus.host}:${bus.port}`;
  // A site without a serial line does not load the drivers of one.
  const newPort = async (): Promise<FramePort> => {
    const { RtuOverTcpPort, RtuPort } = await import('./ports.ts');
    if (bus.kind === 'rtu') {
      return new RtuPort(bus.path, { baudRate: bus.baud, parity: bus.parity, stopBits: bus.stopBits });
    }
    return new RtuOverTcpPort(bus.host, bus.port, CONNECT_TIMEOUT_MS);
  };
  return createLine(where, newPort);
}

/** A line over modbus-serial. */
export function createLine(where: string, newPort: () => Promise<FramePort>): Line {
  let client: Client | null = null;
  let lost: () => void = () => undefined;
  const pending = new Set<(error: FieldbusError) => void>();

  function drop(reason: FieldbusError): void {
    client = null;
    for (const reject of [...pending]) reject(reason);
  }

  /** One request: settled by its answer, its time-out or the loss of the line, whichever is first. */
  function request(what: string, timeoutMs: number, send: (client: Client, next: Next) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const open = client;
      if (open === null || !open.isOpen) {
        reject(new FieldbusError('disconnected', `${where}: not connected`));
        return;
      }
      const settle = (act: () => void): void => {
        if (!pending.delete(abort)) return;
        clearTimeout(timer);
        act();
      };
      const abort = (error: FieldbusError): void => settle(() => reject(error));
      const timer = setTimeout(
        () => abort(new FieldbusError('timeout', `${where}: no answer to ${what} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      pending.add(abort);
      try {
        send(open, (error, answer) => {
          if (error) abort(typed(error, `${where}: ${what}`));
          else settle(() => resolve(answer ?? {}));
        });
      } catch (error) {
        abort(typed(error, `${where}: ${what}`));
      }
    });
  }

  return {
    where,
    get isOpen() {
      return client?.isOpen ?? false;
    },
    async open() {
      const { default: modbus } = await import('modbus-serial');
      const fresh = new modbus.default((await newPort()) as never) as unknown as Client;
      return new Promise((resolve, reject) => {
        fresh.on('error', () => undefined);
        fresh.on('close', () => {
          if (client !== fresh) return;
          drop(new FieldbusError('disconnected', `${where}: the connection was lost`));
          lost();
        });
        fresh.open((error) => {
          if (error) {
            reject(new FieldbusError('disconnected', `cannot open ${where}: ${error.message}`, { cause: error }));
            return;
          }
          client = fresh;
          resolve();
        });
      });
    },
    close() {
      const open = client;
      drop(new FieldbusError('closed', `${where}: closed`));
      return new Promise((resolve) => (open === null ? resolve() : open.close(() => resolve())));
    },
    onLost(callback) {
      lost = callback;
    },
    async read(unitId, table, address, count, timeoutMs) {
      const what = `read of ${table} ${address}+${count} from unit ${unitId}`;
      const answer = await request(what, timeoutMs, (open, next) => {
        if (table === 'coil') open.writeFC1(unitId, address, count, next);
        else if (table === 'discrete') open.writeFC2(unitId, address, count, next);
        else if (table === 'holding') open.writeFC3(unitId, address, count, next);
        else open.writeFC4(unitId, address, count, next);
      });
      const data = answer.data ?? [];
      const bits = table === 'coil' || table === 'discrete';
      if (bits ? data.length < count : data.length !== count) {
        throw new FieldbusError('damaged', `${where}: answer to ${what} holds ${data.length}`);
      }
      return data.slice(0, count).map(Number);
    },
    async write(unitId, table, address, words, single, timeoutMs) {
      const what = `write of ${table} ${address}+${words.length} to unit ${unitId}`;
      const first = words[0] ?? 0;
      const alone = single && words.length === 1;
      const answer = await request(what, timeoutMs, (open, next) => {
        if (table === 'coil') {
          if (alone) open.writeFC5(unitId, address, first !== 0, next);
          else open.writeFC15(unitId, address, words.map(Boolean), next);
        } else if (alone) open.writeFC6(unitId, address, first, next);
        else open.writeFC16(unitId, address, [...words], next);
      });
      const echoed = alone ? (table === 'coil' ? Number(answer.state) : answer.value) : answer.length;
      const wanted = alone ? (table === 'coil' ? Number(first !== 0) : first) : words.length;
      if (answer.address !== address || echoed !== wanted) {
        throw new FieldbusError('damaged', `${where}: answer to ${what} echoes something else`);
      }
    },
  };
}

/** modbus-serial throws errors, strings of errors and objects that are no errors; each has a place here. */
function typed(error: unknown, what: string): FieldbusError {
  if (error instanceof FieldbusError) return error;
  const { modbusCode, errno, message } = error as { modbusCode?: number; errno?: string; message?: string };
  if (typeof modbusCode === 'number') {
    return new FieldbusError('exception', `${what}: ${exceptionText(modbusCode)}`, {
      exception: modbusCode,
      cause: error,
    });
  }
  if (errno === 'ECONNREFUSED') return new FieldbusError('disconnected', `${what}: not connected`, { cause: error });
  return new FieldbusError('damaged', `${what}: ${message ?? String(error)}`, { cause: error });
}
