// What the forecasters do not believe of the metered energies: a meter that stands still, zeros, a clock that is an hour off. It is left out
// of what they learn; here it is counted, so that somebody hears of it. Gaps and curtailment are told elsewhere.

import { DAY_MS } from '../forecast/calendar.ts';
import type { SampleMark } from '../forecast/types.ts';
import type { GatewayStore } from '../store/gateway.ts';

const DOUBTS = 'forecast doubts';
const WORDS: Partial<Readonly<Record<SampleMark, string>>> = {
  implausible: 'more or less than can be',
  stuck: 'one value again and again',
  'zero-run': 'zeros where there never were any',
  night: 'sun at night',
  shifted: 'its time came to stand an hour off',
};

/** Of one subject in the last day of intervals. */
export interface Doubt {
  readonly subject: string;
  /** Intervals that were not believed, and why most of them were not, in words. */
  readonly intervals: number;
  readonly why: string;
}

/** JSON: subject -> interval and mark, oldest first. */
type Noted = Record<string, [number, SampleMark][]>;

export interface Doubts {
  /** Takes what the forecaster of a subject said of an interval. */
  note(subject: string, interval: number, mark: SampleMark | null): void;
  /** As of this interval. */
  of(interval: number): readonly Doubt[];
  keep(): void;
}

export function createDoubts(settings: GatewayStore['settings'], intervalMs: number): Doubts {
  const noted = (settings.get(DOUBTS) as Noted | null) ?? {};
  const perDay = DAY_MS / intervalMs;
  return {
    note(subject, interval, mark) {
      const before = (noted[subject] ?? []).filter(([at]) => at > interval - perDay && at < interval);
      noted[subject] = mark === null || WORDS[mark] === undefined ? before : [...before, [interval, mark]];
    },
    of: (interval) => doubtsOf(noted, interval - perDay),
    keep: () => settings.set(DOUBTS, noted),
  };
}

/** As the running gateway, or the last one, kept them; of the day before `interval`. */
export function keptDoubts(settings: GatewayStore['settings'], interval: number, intervalMs: number): readonly Doubt[] {
  return doubtsOf((settings.get(DOUBTS) as Noted | null) ?? {}, interval - DAY_MS / intervalMs);
}

function doubtsOf(noted: Noted, after: number): Doubt[] {
  return Object.entries(noted).flatMap(([subject, all]) => {
    const recent = all.filter(([at]) => at > after).map(([, mark]) => mark);
    if (recent.length === 0) return [];
    const times = (mark: SampleMark): number => recent.filter((other) => other === mark).length;
    const most = recent.reduce((found, mark) => (times(mark) > times(found) ? mark : found));
    return [{ subject, intervals: recent.length, why: WORDS[most] as string }];
  });
}
