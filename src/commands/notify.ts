// What a program tells systemd: ready, alive, stopping. The watchdog is fed only while the program's own loop turns, so a
// process that is there but does nothing is started anew.
//
// The protocol is a datagram to the unix socket in NOTIFY_SOCKET; Node has no such sockets, so `systemd-notify` sends it (it is
// part of systemd, and waits until systemd has taken the message). Units need NotifyAccess=all for that.
// Source: sd_notify(3), sd_watchdog_enabled(3).

import { execFile } from 'node:child_process';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';

/** Pings a watchdog period. */
const PINGS_A_PERIOD = 3;
/** A message that takes longer is given up. */
const SEND_TIMEOUT_MS: Millis = 5_000;

export interface NotifierOptions {
  /** The environment that systemd set: NOTIFY_SOCKET, WATCHDOG_USEC. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly monotonicMs: () => Millis;
  readonly log: Log;
}

export interface Notifier {
  /** The program does its work; `status` is what `systemctl status` shows. Resolves when systemd knows. */
  ready(status: string): Promise<void>;
  /** Feeds the watchdog for as long as the loop's last turn (monotonic ms) is recent. */
  watch(lastTickMs: () => Millis): void;
  /** The program is about to end. */
  stopping(): Promise<void>;
}

/** Outside systemd every call does nothing. */
export function createNotifier({ environment, monotonicMs, log }: NotifierOptions): Notifier {
  const socket = environment.NOTIFY_SOCKET;
  const periodMs = Number(environment.WATCHDOG_USEC ?? 0) / 1_000;
  let timer: NodeJS.Timeout | null = null;

  const send = (...assignments: string[]): Promise<void> =>
    new Promise((resolve) => {
      if (socket === undefined || socket === '') return resolve();
      const options = { env: { ...environment, NOTIFY_SOCKET: socket }, timeout: SEND_TIMEOUT_MS };
      execFile('systemd-notify', assignments, options, (error) => {
        if (error !== null) log.warn({ reason: error.message }, 'systemd could not be told');
        resolve();
      });
    });

  return {
    ready: (status) => send('READY=1', `STATUS=${status}`),
    watch: (lastTickMs) => {
      if (socket === undefined || !(periodMs > 0)) return;
      timer = setInterval(() => {
        const silentMs = monotonicMs() - lastTickMs();
        if (silentMs < periodMs / 2) void send('WATCHDOG=1');
        else
          log.error({ silentMs: Math.round(silentMs) }, 'the loop stands still: systemd is not told that all is well');
      }, periodMs / PINGS_A_PERIOD);
      timer.unref();
    },
    stopping: () => {
      if (timer !== null) clearInterval(timer);
      return send('STOPPING=1');
    },
  };
}
