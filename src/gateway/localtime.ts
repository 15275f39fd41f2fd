// The owner's wishes are in local time (`a car ready at 07:00`), everything else is UTC. Owns the one translation, daylight saving included.

import type { Millis } from '../base/units.ts';

const DAY_MS = 86_400_000;

/** Formatters are costly to make; a gateway has one zone. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone);
  if (known !== undefined) return known;
  const number = '2-digit' as const;
  const format = new Intl.DateTimeFormat('en-CA', {
    ...{ timeZone: timezone, hourCycle: 'h23', year: 'numeric' },
    ...{ month: number, day: number, hour: number, minute: number, second: number },
  });
  formats.set(timezone, format);
  return format;
}

/** Offset of a zone at an instant: local = UTC + offset. */
function offsetMs(instantMs: Millis, timezone: string): Millis {
  const format = formatOf(timezone);
  const parts = Object.fromEntries(format.formatToParts(instantMs).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000;
}

/**
 * The instant of a local time of day (`HH:MM`) on the local day that contains `instantMs`, plus `days`. One that comes twice when clocks go back is
 * the first; one that is skipped when they go forward comes as much later as they do. The same on whichever side of the change it is asked.
 */
export function localTimeMs(instantMs: Millis, timezone: string, time: string, days = 0): Millis {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  const localMidnight = Math.floor((instantMs + offsetMs(instantMs, timezone)) / DAY_MS) * DAY_MS;
  const wanted = localMidnight + days * DAY_MS + hours * 3_600_000 + minutes * 60_000;
  const [before, after] = [offsetMs(wanted - DAY_MS, timezone), offsetMs(wanted + DAY_MS, timezone)];
  const first = wanted - before;
  if (before === after || offsetMs(first, timezone) === before) return first;
  return offsetMs(wanted - after, timezone) === after ? wanted - after : first;
}

/** The window `[from, until)` of local times that is running or comes next; `until` at or before `from` means the next day. */
export function nextWindow(
  nowMs: Millis,
  timezone: string,
  from: string,
  until: string,
): { fromMs: Millis; untilMs: Millis } {
  for (const day of [-1, 0, 1, 2]) {
    const fromMs = localTimeMs(nowMs, timezone, from, day);
    const untilMs = localTimeMs(nowMs, timezone, until, until <= from ? day + 1 : day);
    if (untilMs > nowMs) return { fromMs, untilMs };
  }
  return { fromMs: nowMs, untilMs: nowMs + DAY_MS };
}
