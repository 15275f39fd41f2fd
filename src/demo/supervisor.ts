// The demo's processes: every validator and gateway is a process of its own, as in the field. Owns starting, hearing, killing and
// ending them; a process that ends by itself or is killed is started again after a pause, as systemd would (Restart=always).

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WattpactError } from '../base/errors.ts';

/** Pause before an ended process is started again, ms. */
const RESTART_MS = 3_000;
/** How long a process may take to end by itself before it is killed, ms. */
const STOP_MS = 5_000;
/** Ends of one process before the demo gives up. */
const ENDS_MAX = 5;
/** The command line that every process is started by. */
export const CLI = join(import.meta.dirname, '..', 'cli.ts');

export interface Supervisor {
  /** Starts a process of the command line under a name; its output goes to `<dir>/<name>.log`. */
  start(name: string, args: readonly string[]): void;
  /** Ends a process at once (SIGKILL); it comes back after the pause. */
  kill(name: string): void;
  /** Ends everything and waits for it. */
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  /** Folder of the logs. */
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  onMessage(name: string, message: unknown): void;
  onEnd(name: string, how: string): void;
  onRestart(name: string): void;
  /** A process ended too often: the demo cannot go on. */
  onGiveUp(error: WattpactError): void;
}

interface Supervised {
  readonly args: readonly string[];
  child: ChildProcess;
  ends: number;
  restart: NodeJS.Timeout | null;
}

/** Last lines of a process's log, for people. */
export function logTail(dir: string, name: string, lines = 5): string {
  return readFileSync(join(dir, `${name}.log`), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(-lines)
    .join('\n');
}

export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { dir, env } = options;
  const processes = new Map<string, Supervised>();
  let stopping = false;

  function launch(name: string, args: readonly string[]): ChildProcess {
    const logFile = openSync(join(dir, `${name}.log`), 'a', 0o600);
    const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', logFile, logFile, 'ipc'] });
    closeSync(logFile);
    child.on('message', (message) => options.onMessage(name, message));
    child.on('error', (error) => onEnd(name, error.message));
    child.on('exit', (code, signal) => onEnd(name, signal === null ? `exit code ${code}` : signal));
    return child;
  }

  function onEnd(name: string, how: string): void {
    const supervised = processes.get(name);
    if (stopping || supervised === undefined || supervised.restart !== null) return;
    supervised.ends += 1;
    options.onEnd(name, how);
    if (supervised.ends > ENDS_MAX) {
      const message = `${name} ended ${supervised.ends} times; its last words:\n${logTail(dir, name)}`;
      options.onGiveUp(new WattpactError('demo.process', message));
      return;
    }
    supervised.restart = setTimeout(() => {
      supervised.restart = null;
      supervised.child = launch(name, supervised.args);
      options.onRestart(name);
    }, RESTART_MS);
  }

  return {
    start(name, args) {
      processes.set(name, { args, child: launch(name, args), ends: 0, restart: null });
    },
    kill(name) {
      const supervised = processes.get(name);
      if (supervised === undefined) throw new WattpactError('usage.kill', `the demo has no process ${name}`);
      supervised.child.kill('SIGKILL');
    },
    async stop() {
      stopping = true;
      await Promise.all(
        [...processes.values()].map(({ child, restart }) => {
          if (restart !== null) clearTimeout(restart);
          if (child.exitCode !== null || child.signalCode !== null) return undefined;
          const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
          child.kill('SIGTERM');
          const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
          return ended.then(() => clearTimeout(late));
        }),
      );
    },
  };
}
