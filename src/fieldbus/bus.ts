// One owner of a bus: every request to its line passes here, in order of urgency, as many at once as the line bears.
// Owns the queue, the gaps between frames and the reconnecting; what is asked, and how often, is its callers'.

import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import { FieldbusError } from './errors.ts';
import type { Line } from './line.ts';

/** Control writes first, then power, then counters, then the rest. */
export type Urgency = 'control' | 'fast' | 'medium' | 'slow';
const URGENCIES: readonly Urgency[] = ['control', 'fast', 'medium', 'slow'];

/** Requests waiting for one bus; more means that the bus cannot do what is asked of it. */
export const QUEUE_MAX = 2_000;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_LAST_MS = 30_000;
/** Late answers to a question that timed out are waited for this long before the same unit is asked again on a serial line. */
const LATE_ANSWER_MS = 150;

/** How a request wants the line. */
export interface Manner {
  readonly urgency: Urgency;
  readonly unitId: number;
  /** Pause of the line before it. */
  readonly gapMs: Millis;
  /** Pause of the line after it. */
  readonly afterMs: Millis;
}

export interface BusOptions {
  readonly id: string;
  readonly line: Line;
  /** Requests at once; 1 on a serial line. */
  readonly inFlightMax: number;
  /** Frames on a serial line need silence between them; 0 on TCP. */
  readonly silenceMs: Millis;
  /** Unit ids share one wire, where a late answer could be taken for another's. */
  readonly serial: boolean;
  readonly connectDelayMs: Millis;
  readonly clock: Clock;
  readonly log: Log;
}

export interface BusOwner {
  readonly connected: boolean;
  /** Opens the line and keeps it open until `stop`. Does not wait for it. */
  start(): void;
  stop(): Promise<void>;
  /** Runs `act` when its turn has come. Errors: what `act` throws; `disconnected` at once while there is no line; `busy`; `closed`. */
  request<T>(manner: Manner, act: (line: Line) => Promise<T>): Promise<T>;
  /** Called after every (re)connection, before any request runs. */
  onConnected(callback: () => void): void;
}

interface Waiting {
  readonly manner: Manner;
  run(): Promise<void>;
  refuse(error: FieldbusError): void;
}

export function createBus(options: BusOptions): BusOwner {
  const { id, line, clock, log } = options;
  const queues: Record<Urgency, Waiting[]> = { control: [], fast: [], medium: [], slow: [] };
  let inFlight = 0;
  let running = false;
  let ready = false;
  let busyUntilMs = Number.NEGATIVE_INFINITY;
  let lateUnit = -1;
  let lateUntilMs = 0;
  let retryMs = RECONNECT_FIRST_MS;
  let timer: NodeJS.Timeout | null = null;
  let wake: (() => void) | null = null;
  let connectedCallback: () => void = () => undefined;

  function refuseAll(error: FieldbusError): void {
    for (const urgency of URGENCIES) for (const waiting of queues[urgency].splice(0)) waiting.refuse(error);
  }

  async function connect(): Promise<void> {
    timer = null;
    try {
      await line.open();
    } catch (error) {
      if (!running) return;
      const level = retryMs === RECONNECT_FIRST_MS ? 'warn' : 'debug';
      log[level]({ bus: id, retryMs }, `bus ${id}: ${(error as Error).message}; trying again`);
      again();
      return;
    }
    if (!running) {
      await line.close();
      return;
    }
    timer = setTimeout(() => {
      timer = null;
      if (!line.isOpen) return;
      ready = true;
      retryMs = RECONNECT_FIRST_MS;
      log.info({ bus: id }, `bus ${id}: connected to ${line.where}`);
      connectedCallback();
      pump();
    }, options.connectDelayMs);
  }

  function again(): void {
    timer = setTimeout(() => void connect(), retryMs);
    retryMs = Math.min(2 * retryMs, RECONNECT_LAST_MS);
  }

  line.onLost(() => {
    if (!running) return;
    ready = false;
    if (timer !== null) clearTimeout(timer);
    log.warn({ bus: id }, `bus ${id}: lost ${line.where}; connecting again`);
    refuseAll(new FieldbusError('disconnected', `${line.where}: the connection was lost`));
    again();
  });

  /** The most urgent request; one for a unit whose late answer is still awaited lets the others pass. */
  function next(): Waiting | undefined {
    let held: Waiting | undefined;
    const late = options.serial && clock.monotonicMs() < lateUntilMs ? lateUnit : -1;
    for (const urgency of URGENCIES) {
      const waiting = queues[urgency].find(({ manner }) => manner.unitId !== late);
      if (waiting !== undefined) return waiting;
      held ??= queues[urgency][0];
    }
    return held;
  }

  /** How long the line must still rest before this request may go. */
  function restMs(manner: Manner): Millis {
    const nowMs = clock.monotonicMs();
    const lateMs = options.serial && manner.unitId === lateUnit ? lateUntilMs - nowMs : 0;
    const gapMs = Math.max(options.silenceMs, manner.gapMs);
    return Math.max(busyUntilMs + gapMs - nowMs, lateMs, 0);
  }

  /** Timers are a millisecond coarse, which is half the silence of a fast serial line: the last part is waited for turn by turn. */
  function rouseIn(rest: Millis): void {
    const rouse = (): void => {
      wake = null;
      pump();
    };
    if (rest < 1) {
      const immediate = setImmediate(rouse);
      wake = () => clearImmediate(immediate);
    } else {
      const timeout = setTimeout(rouse, Math.floor(rest));
      wake = () => clearTimeout(timeout);
    }
  }

  function pump(): void {
    if (wake !== null) return;
    while (ready && inFlight < options.inFlightMax) {
      const waiting = next();
      if (waiting === undefined) return;
      const rest = restMs(waiting.manner);
      if (rest > 0) {
        rouseIn(rest);
        return;
      }
      const queue = queues[waiting.manner.urgency];
      queue.splice(queue.indexOf(waiting), 1);
      inFlight += 1;
      void waiting.run().finally(() => {
        inFlight -= 1;
        busyUntilMs = Math.max(busyUntilMs, clock.monotonicMs() + waiting.manner.afterMs);
        pump();
      });
    }
  }

  return {
    get connected() {
      return ready;
    },
    start() {
      running = true;
      void connect();
    },
    async stop() {
      running = false;
      ready = false;
      if (timer !== null) clearTimeout(timer);
      wake?.();
      wake = null;
      refuseAll(new FieldbusError('closed', `bus ${id} is stopped`));
      await line.close();
    },
    request(manner, act) {
      return new Promise((resolve, reject) => {
        if (!ready) {
          const fault = running ? 'disconnected' : 'closed';
          reject(new FieldbusError(fault, running ? `${line.where}: not connected` : `bus ${id} is stopped`));
          return;
        }
        const queue = queues[manner.urgency];
        if (queue.length >= QUEUE_MAX) {
          reject(new FieldbusError('busy', `bus ${id}: ${QUEUE_MAX} requests are waiting already`));
          return;
        }
        queue.push({
          manner,
          refuse: reject,
          run: () =>
            act(line).then(resolve, (error) => {
              if (error instanceof FieldbusError && error.fault === 'timeout') {
                lateUnit = manner.unitId;
                lateUntilMs = clock.monotonicMs() + LATE_ANSWER_MS;
              }
              reject(error);
            }),
        });
        pump();
      });
    },
    onConnected(callback) {
      connectedCallback = callback;
    },
  };
}

/** Silence that RTU frames need between them. Source: MODBUS over Serial Line V1.02 section 2.5.1.1. */
export function silenceMs(baud: number): Millis {
  return baud > 19_200 ? 1.75 : (3.5 * 11 * 1000) / baud;
}
