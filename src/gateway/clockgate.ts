// The clock gate: nothing is signed while this machine's clock is not proven. Two witnesses:
//   the system   the kernel's own flag that a time daemon keeps it (timesyncd, chrony, ntpd all set it), read through timedatectl;
//   the chain    a block that k validators attested cannot lie in the future: if it does, this clock is behind.

import { execFile } from 'node:child_process';
import type { Clock } from '../base/clock.ts';
import type { Header } from '../protocol/header.ts';

/** How often the system is asked, ms. */
const ASK_MS = 30_000;
/** How long the system's tool may take to answer, ms. */
const ANSWER_MS_MAX = 5_000;

/** `system`: ask the machine. `assumed`: the operator of the machine vouches for it (a demo, a container whose host keeps time). */
export type ClockTrust = 'system' | 'assumed';

export interface ClockGate {
  /** Why the clock cannot be trusted now, or null. */
  obstacle(): string | null;
  onHeader(header: Header): void;
  stop(): void;
}

/** Whether the kernel's clock is disciplined; the reason if it is not, or cannot be known. */
export type AskSystem = (answer: (obstacle: string | null) => void) => void;

export const askTimedatectl: AskSystem = (answer) => {
  execFile(
    'timedatectl',
    ['show', '--property=NTPSynchronized', '--value'],
    { timeout: ANSWER_MS_MAX },
    (error, stdout) => {
      if (error !== null)
        answer(`cannot tell whether the clock is synchronised: timedatectl: ${error.message.split('\n')[0]}`);
      else answer(stdout.trim() === 'yes' ? null : 'the clock is not synchronised (timedatectl); start a time daemon');
    },
  );
};

export function createClockGate(options: {
  trust: ClockTrust;
  clock: Clock;
  /** Chain ms by which a block's time may differ from this clock. */
  skewMsMax: number;
  askSystem: AskSystem;
}): ClockGate {
  const { trust, clock, skewMsMax, askSystem } = options;
  let system: string | null = trust === 'assumed' ? null : 'the clock has not been checked yet';
  let chain: string | null = null;
  const ask = (): void =>
    askSystem((obstacle) => {
      system = obstacle;
    });
  const timer = trust === 'system' ? setInterval(ask, ASK_MS) : null;
  timer?.unref();
  if (trust === 'system') ask();

  return {
    obstacle: () => system ?? chain,
    onHeader({ timeMs }) {
      const behindMs = timeMs - clock.chainMs();
      chain =
        behindMs > skewMsMax ? `the clock is ${Math.round(behindMs / 1000)} s behind the validators' blocks` : null;
    },
    stop() {
      if (timer !== null) clearInterval(timer);
    },
  };
}
