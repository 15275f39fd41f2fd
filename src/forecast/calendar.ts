// Local time for people's habits: minute of the day, weekday, holiday. The time zone is an argument, never the machine's.

import { WattpactError } from '../base/errors.ts';
import { floorDiv } from '../base/integers.ts';
import type { Millis } from '../base/units.ts';

export const DAY_MS: Millis = 86_400_000;
const HOUR_MS: Millis = 3_600_000;
/** Offsets remembered, one an hour; the oldest go first. */
const OFFSETS_MAX = 50_000;

export interface LocalTime {
  /** Days since the epoch, by the local calendar. */
  readonly day: number;
  readonly minute: number;
  /** 0 Sunday .. 6 Saturday; a holiday counts as Sunday. */
  readonly weekday: number;
  readonly free: boolean;
}

export type Calendar = (atMs: Millis) => LocalTime;

/** Local time of a zone; throws `forecast.timezone` for an unknown one. Zone rules change on whole UTC hours. */
export function createCalendar(timezone: string | undefined, holidays: readonly string[] = []): Calendar {
  const offsets = new Map<number, number>();
  const offsetMs = timezone === undefined || timezone === 'UTC' ? () => 0 : offsetReader(timezone);
  const free = new Set(holidays);
  return (atMs) => {
    const hour = floorDiv(atMs, HOUR_MS);
    let offset = offsets.get(hour);
    if (offset === undefined) {
      offset = offsetMs(hour * HOUR_MS);
      if (offsets.size >= OFFSETS_MAX) offsets.delete(offsets.keys().next().value as number);
      offsets.set(hour, offset);
    }
    const localMs = atMs + offset;
    const day = floorDiv(localMs, DAY_MS);
    const minute = (localMs - day * DAY_MS) / 60_000;
    const holiday = free.size > 0 && free.has(new Date(day * DAY_MS).toISOString().slice(0, 10));
    const weekday = holiday ? 0 : (((day + 4) % 7) + 7) % 7;
    return { day, minute, weekday, free: weekday === 0 || weekday === 6 };
  };
}

function offsetReader(timezone: string): (atMs: Millis) => Millis {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch (cause) {
    throw new WattpactError('usage.timezone', `unknown time zone: ${timezone}`, {
      hint: 'Use an IANA name such as Europe/Paris',
      cause,
    });
  }
  return (atMs) => {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(atMs)) parts[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - atMs;
  };
}
