// The owner's own word for a battery or a load, with an end: its form, which equipment it may be about, keeping it, and telling when it
// begins and ends. The command line, the page and the site's own broker all put it into the store, and the store is where the gateway
// looks: it holds over restarts. Control obeys it (dispatch/control.ts), the plan reckons with it (planning.ts); safety stays above it.

import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { WattpactError } from '../base/errors.ts';
import type { Millis } from '../base/units.ts';
import { wordsOf } from '../base/words.ts';
import type { Override } from '../dispatch/control-types.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';

/** Longest override: what is meant for longer belongs into the site file. */
export const OVERRIDE_MS_MAX: Millis = 7 * 24 * 3_600_000;
/** Largest statement of one. */
export const OVERRIDE_BYTES_MAX = 1_024;
/** Who may say it over the site's doors holds the token of this name; no customer can have it, since it is no id. */
export const OWNER = '@owner';

/** What the owner may speak of. A heat pump is a load by SG-ready states: switched off by hand it runs as it would on its own. */
export type OverridableKind = 'battery' | 'load' | 'heat-pump';
export type OverrideMode = 'hold' | 'charge-to' | 'off' | 'on';
export type OverrideDoor = 'command line' | 'page' | 'site broker';

export interface SiteOverride {
  /** A battery (`storage:`) or a load (`loads:`) of the site file. */
  readonly id: string;
  readonly kind: OverridableKind;
  readonly mode: OverrideMode;
  /** Where `charge-to` stops; null for the other modes. */
  readonly percent: number | null;
  /** Chain time. */
  readonly setAtMs: Millis;
  readonly untilMs: Millis;
  readonly by: OverrideDoor;
}

export interface OverrideChange {
  readonly what: 'began' | 'ended';
  readonly override: SiteOverride;
}

export interface Overrides {
  /** Takes a statement from a door, durably; returns what now stands, null for `auto`. Throws `override.*` in words for people. */
  accept(payload: Uint8Array, by: OverrideDoor): SiteOverride | null;
  inForce(): readonly SiteOverride[];
  /** What began and ended since the last call, also while nobody looked; what has ended is forgotten. For the gateway alone. */
  changes(): readonly OverrideChange[];
}

const MODES: Readonly<Record<OverridableKind, readonly OverrideMode[]>> = {
  battery: ['hold', 'charge-to', 'off'],
  load: ['on', 'off', 'hold'],
  'heat-pump': ['on', 'off', 'hold'],
};
const NAMES: Readonly<Record<OverridableKind, string>> = { battery: 'battery', load: 'load', 'heat-pump': 'heat pump' };
/** Off is SG-ready state 2 and no more: nobody blocks a heat pump here (site/sg-ready.ts). */
const PUMP_WORDS: Readonly<Partial<Record<OverrideMode, string>>> = {
  on: 'on (forced)',
  off: 'off (it runs as it would on its own; it is never blocked)',
};
const HINT =
  'Write {"id":"battery","mode":"charge-to","percent":80,"until":"2026-06-21T18:00:00Z"}; modes: hold, charge-to, off, on, auto';

const statementSchema = z.discriminatedUnion('mode', [
  z.strictObject({ id: z.string().max(64), mode: z.literal('auto') }),
  z.strictObject({
    id: z.string().max(64),
    mode: z.enum(['hold', 'off', 'on']),
    until: z.iso.datetime('is a time in UTC such as 2026-06-22T18:00:00Z'),
  }),
  z.strictObject({
    id: z.string().max(64),
    mode: z.literal('charge-to'),
    percent: z.number().min(0).max(100),
    until: z.iso.datetime('is a time in UTC such as 2026-06-22T18:00:00Z'),
  }),
]);

/** What the owner may speak of, in the order of the site file. */
export function overridable(
  site: Pick<SiteFile, 'storage' | 'loads'>,
): readonly { id: string; kind: OverridableKind }[] {
  return [
    ...site.storage.filter(({ driven }) => driven).map(({ id }) => ({ id, kind: 'battery' as const })),
    ...site.loads.map(({ id, kind }) => ({
      id,
      kind: kind === 'sg-ready' ? ('heat-pump' as const) : ('load' as const),
    })),
  ];
}

export function createOverrides(options: {
  site: Pick<SiteFile, 'id' | 'storage' | 'loads'>;
  store: Pick<GatewayStore, 'settings'>;
  clock: Clock;
}): Overrides {
  const { site, store, clock } = options;
  const known = overridable(site);
  /** What `changes` told last, by id. */
  const told = new Map<string, SiteOverride>();

  const keyOf = (id: string): string => `override ${id}`;
  const keptOf = (id: string): SiteOverride | null => store.settings.get(keyOf(id)) as SiteOverride | null;

  /** A clock that was set back makes no override longer than one may be. */
  function stands({ untilMs }: SiteOverride): boolean {
    const leftMs = untilMs - clock.chainMs();
    return leftMs > 0 && leftMs <= OVERRIDE_MS_MAX;
  }

  function kindOf(id: string): OverridableKind {
    const meant = known.filter((each) => each.id === id);
    const [only] = meant;
    if (only === undefined && site.storage.some((storage) => storage.id === id)) {
      throw new WattpactError('override.undriven', `battery ${id} of site ${site.id} cannot be driven`, {
        hint: '`wattpact site check` says why: its profile names no watchdog',
      });
    }
    if (only === undefined) {
      const names = known.map((each) => each.id).join(', ') || 'none';
      throw new WattpactError('override.unknown', `site ${site.id} has no battery or load ${id}`, {
        hint: `Batteries and loads: ${names}`,
      });
    }
    if (meant.length > 1) {
      throw new WattpactError('override.ambiguous', `a battery and a load of site ${site.id} are both called ${id}`, {
        hint: 'Give one of them another name in the site file',
      });
    }
    return only.kind;
  }

  return {
    accept(payload, by) {
      const statement = parse(payload);
      const { id } = statement;
      const kind = kindOf(id);
      const setAtMs = clock.chainMs();
      if (statement.mode === 'auto') {
        const kept = keptOf(id);
        if (kept !== null) store.settings.set(keyOf(id), { ...kept, untilMs: Math.min(kept.untilMs, setAtMs), by });
        return null;
      }
      const { mode } = statement;
      if (!MODES[kind].includes(mode)) {
        throw new WattpactError('override.mode', `${mode} cannot be said of the ${NAMES[kind]} ${id}`, {
          hint: `Modes of a ${NAMES[kind]}: ${MODES[kind].join(', ')}, auto`,
        });
      }
      const untilMs = Date.parse(statement.until);
      if (untilMs <= setAtMs) throw new WattpactError('override.time', `the end ${statement.until} is past`);
      if (untilMs - setAtMs > OVERRIDE_MS_MAX) {
        throw new WattpactError('override.time', 'an override lasts at most 7 days', {
          hint: 'What shall hold for longer belongs into the site file',
        });
      }
      const percent = statement.mode === 'charge-to' ? statement.percent : null;
      const override: SiteOverride = { id, kind, mode, percent, setAtMs, untilMs, by };
      store.settings.set(keyOf(id), override);
      return override;
    },
    inForce: () => known.flatMap(({ id }) => keptOf(id) ?? []).filter(stands),
    changes() {
      const changes: OverrideChange[] = [];
      for (const { id } of known) {
        const kept = keptOf(id);
        const before = told.get(id) ?? null;
        if (kept !== null && stands(kept)) {
          if (before?.setAtMs === kept.setAtMs && before.mode === kept.mode && before.untilMs === kept.untilMs)
            continue;
          changes.push({ what: 'began', override: kept });
          told.set(id, kept);
        } else if (kept !== null) {
          changes.push({ what: 'ended', override: kept });
          told.delete(id);
          store.settings.set(keyOf(id), null);
        }
      }
      return changes;
    },
  };
}

/** In the words of control. */
export function asControl(overrides: readonly SiteOverride[]): readonly Override[] {
  return overrides.map(({ id, mode, percent }) =>
    mode === 'charge-to' ? { id, mode, percent: percent ?? 0 } : { id, mode },
  );
}

/** `battery: hold until 18:00` for people; times are UTC. A heat pump's modes are said as what they do to it. */
export function overrideText({ id, kind, mode, percent, untilMs }: Omit<SiteOverride, 'setAtMs' | 'by'>): string {
  const until = new Date(untilMs).toISOString().slice(0, 16).replace('T', ' ');
  const words =
    kind === 'heat-pump' ? (PUMP_WORDS[mode] ?? mode) : mode === 'charge-to' ? `charge to ${percent} %` : mode;
  return `${id}: ${words} until ${until} UTC`;
}

function parse(payload: Uint8Array): z.infer<typeof statementSchema> {
  if (payload.length > OVERRIDE_BYTES_MAX)
    throw new WattpactError('override.form', `an override has at most ${OVERRIDE_BYTES_MAX} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new WattpactError('override.form', 'the override is not JSON', { hint: HINT, cause });
  }
  const parsed = statementSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new WattpactError('override.form', `the override cannot be used: ${wordsOf(parsed.error, value)}`, {
    hint: HINT,
  });
}
