// Weather forecasts as a gateway had them, each with the time it came: models learn from what was forecast then, never from what came true.

import { z } from 'zod';
import type { Millis } from '../base/units.ts';
import {
  WEATHER_FORECASTS_MAX,
  WEATHER_HOURS_MAX,
  WEATHER_VARIABLES,
  type WeatherForecast,
  type WeatherVariable,
} from '../forecast/weather.ts';
import type { Guard, Sqlite } from './sqlite.ts';

export const WEATHER_TABLE = `
  CREATE TABLE weather (
    issued_at_ms INTEGER PRIMARY KEY,
    start_ms INTEGER NOT NULL,
    content TEXT NOT NULL
  ) STRICT;
  `;

const hours = z.array(z.number().nullable()).max(WEATHER_HOURS_MAX);
const contentSchema = z.record(z.enum(WEATHER_VARIABLES), hours);

export interface WeatherStore {
  /** Keeps the newest `WEATHER_FORECASTS_MAX`. */
  save(forecast: WeatherForecast): void;
  /** By time of issue. */
  all(): readonly WeatherForecast[];
}

export function weatherStore(db: Sqlite, guard: Guard): WeatherStore {
  const insert = db.prepare('INSERT OR REPLACE INTO weather (issued_at_ms, start_ms, content) VALUES (?, ?, ?)');
  const forget = db.prepare(
    'DELETE FROM weather WHERE issued_at_ms <= (SELECT issued_at_ms FROM weather ORDER BY issued_at_ms DESC LIMIT 1 OFFSET ?)',
  );
  const all = db.prepare<[], { issuedMs: Millis; startMs: Millis; content: string }>(
    'SELECT issued_at_ms AS issuedMs, start_ms AS startMs, content FROM weather ORDER BY issued_at_ms',
  );
  const save = db.transaction(({ issuedMs, startMs, values }: WeatherForecast) => {
    const shown = WEATHER_VARIABLES.map((name) => [name, [...values[name]].map(orNull)] as const);
    insert.run(issuedMs, startMs, JSON.stringify(Object.fromEntries(shown)));
    forget.run(WEATHER_FORECASTS_MAX);
  });
  return {
    save: (forecast) => {
      guard(() => save.immediate(forecast));
    },
    all: () =>
      guard(() =>
        all.all().map(({ issuedMs, startMs, content }) => {
          const kept = contentSchema.parse(JSON.parse(content));
          const values = WEATHER_VARIABLES.map(
            (name) => [name, Float32Array.from(kept[name], (value) => value ?? Number.NaN)] as const,
          );
          return { issuedMs, startMs, values: Object.fromEntries(values) as Record<WeatherVariable, Float32Array> };
        }),
      ),
  };
}

/** Five digits are more than a forecast knows. The same text gives the same numbers again. */
function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(5));
}
