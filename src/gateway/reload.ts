// A changed site or profile file is taken up by the running gateway. Looks at the files, decides when a change is whole and whether it may be
// taken, and then puts a gateway made of the new description in the place of the old one: all parts at once, leases reverted in between,
// so that nothing is polled twice and no part works from another description than the next. What may not be taken changes nothing.

import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { describeError, WattpactError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import type { LoadedSite } from '../site/types.ts';
import type { GatewayListener } from './events.ts';
import type { Gateway } from './gateway.ts';

/** How often the files are looked at, wall ms. A change is taken when two looks in a row see the same: editors and copies take their time. */
export const LOOK_MS: Millis = 2_000;

export interface ReloadOptions {
  /** The description that the gateway starts with. */
  readonly loaded: LoadedSite;
  /** Reads the description anew. Errors: as `loadSite`, with file:line:column. */
  load(): LoadedSite;
  /** Files whose change may change the description; they need not exist. */
  filesOf(loaded: LoadedSite): readonly string[];
  /** Starts a gateway; what it opened is closed again when it throws. */
  start(loaded: LoadedSite): Promise<Gateway>;
  readonly clock: Clock;
  readonly log: Log;
  readonly emit: GatewayListener;
  /** Told when there is no gateway any more: neither the new description nor the old one could be started. */
  onLost(error: unknown): void;
  readonly lookMs?: Millis;
}

/** A gateway that follows its files. Errors: as `start`. */
export async function startFollowing(options: ReloadOptions): Promise<Gateway> {
  const { clock, log, emit, lookMs = LOOK_MS } = options;
  let { loaded } = options;
  let gateway = await options.start(loaded);
  /** As the files were when they were last taken or refused, and as they were at the last look. */
  let judged = seen();
  let before = judged;
  let changing: Promise<void> | null = null;
  let stopped: Promise<void> | null = null;

  function seen(): string {
    try {
      return options.filesOf(loaded).map(stateOf).join('\n');
    } catch (error) {
      // A folder that cannot be looked into now; what that means, loading says.
      return describeError(error);
    }
  }

  function refuse(why: string): void {
    log.error(
      { file: loaded.file, reason: why },
      'the changed description is refused; the gateway goes on with the one it has',
    );
    emit({ type: 'trouble', what: `the changed description is refused: ${why}` });
  }

  function look(): void {
    if (changing !== null) return;
    const now = seen();
    if (now === judged || now !== before) {
      before = now;
      return;
    }
    judged = now;
    const next = allowed();
    if (next === null) return;
    changing = take(next).then(
      () => {
        changing = null;
      },
      (error: unknown) => {
        clearInterval(timer);
        options.onLost(error);
      },
    );
  }

  /** The description as the files have it now; null when it is the one in force, or refused. */
  function allowed(): LoadedSite | null {
    try {
      const next = options.load();
      if (isDeepStrictEqual(next, loaded)) return null;
      refuseAnotherSite(loaded, next);
      return next;
    } catch (error) {
      refuse(describeError(error));
      return null;
    }
  }

  async function take(next: LoadedSite): Promise<void> {
    log.info({ file: next.file }, 'the description has changed and is taken up');
    await gateway.stop();
    try {
      gateway = await options.start(next);
      loaded = next;
    } catch (error) {
      refuse(describeError(error));
      gateway = await options.start(loaded);
    }
    judged = seen();
    before = judged;
  }

  const timer = setInterval(look, lookMs);

  return {
    // The change itself is a sign of life.
    lastTickMs: () => (changing === null ? gateway.lastTickMs() : clock.monotonicMs()),
    get demandUrl() {
      return gateway.demandUrl;
    },
    stop() {
      clearInterval(timer);
      stopped ??= (changing ?? Promise.resolve()).then(() => gateway.stop());
      return stopped;
    },
  };
}

/** What makes it another site, or another party on another chain, is no change of a running gateway. */
function refuseAnotherSite(from: LoadedSite, to: LoadedSite): void {
  const identity = ({ site }: LoadedSite) => ({
    id: site.id,
    'market.genesis': site.market?.genesis,
    'market.genesisHash': site.market?.genesisHash,
    'market.key': site.market?.key,
    'market.dataDir': site.market?.dataDir,
  });
  const [before, after] = [identity(from), identity(to)];
  const changed = (Object.keys(before) as (keyof typeof before)[]).filter((name) => before[name] !== after[name]);
  if (changed.length === 0) return;
  throw new WattpactError('site.identity', `${to.file}: ${changed.join(', ')} cannot change while the gateway runs`, {
    hint: 'Restart the gateway for that',
  });
}

/** Changes whenever a file is written, replaced, removed or made. */
function stateOf(file: string): string {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? `${file} -` : `${file} ${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`;
}
