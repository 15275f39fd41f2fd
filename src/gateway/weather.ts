// The weather forecasts of a site: asked for every few hours where the site file names a source, kept on disk as they came, handed to the
// forecasters. Never needed: while none can be had, that is said, and forecasts go on with what is known. Owns when the source is asked.

import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Millis } from '../base/units.ts';
import { WeatherArchive, type WeatherForecast } from '../forecast/weather.ts';
import type { SiteFile } from '../site/types.ts';
import type { GatewayStore } from '../store/gateway.ts';
import { OPEN_METEO_URL, openMeteo } from './open-meteo.ts';

/** Weather models run every few hours; oftener would only fill the archive. Wall time. */
const EVERY_MS: Millis = 3 * 3_600_000;
/** A fleet does not ask at once: later by a random part of this. */
const SPREAD_MS: Millis = 10 * 60_000;
const FIRST_SPREAD_MS: Millis = 20_000;
/** After a failure, doubled with each further one. */
const RETRY_MS_MIN: Millis = 60_000;
const RETRY_MS_MAX: Millis = 3_600_000;

export interface WeatherProvider {
  /** For people, without secrets: `open-meteo at api.open-meteo.com`. */
  readonly name: string;
  /** The hours from now on (chain time). Rejects with a reason for people. */
  fetch(nowMs: Millis, signal: AbortSignal): Promise<Omit<WeatherForecast, 'issuedMs'>>;
}

export interface SiteWeather {
  readonly archive: WeatherArchive;
  /** Asks the source when that is due; never waits for it. */
  tick(): void;
  /** Why there is no news of the weather, or null. */
  trouble(): string | null;
  /** Ends a request that is under way. */
  stop(): Promise<void>;
}

interface Surroundings {
  readonly store: Pick<GatewayStore, 'weather'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** The source that a site file names. */
export function siteWeather(
  { url }: NonNullable<SiteFile['weather']>,
  place: SiteFile['location'],
  surroundings: Surroundings,
): SiteWeather {
  return createSiteWeather({ ...surroundings, provider: openMeteo(url ?? OPEN_METEO_URL, place) });
}

export function createSiteWeather(options: Surroundings & { readonly provider: WeatherProvider }): SiteWeather {
  const { provider, store, clock, random, log } = options;
  const archive = new WeatherArchive();
  for (const kept of store.weather.all()) archive.add(kept);
  const ending = new AbortController();
  let asking: Promise<void> | null = null;
  let failures = 0;
  let trouble: string | null = null;
  const heardMs = archive.newest?.issuedMs ?? Number.NEGATIVE_INFINITY;
  // A gateway that starts again and again does not ask each time.
  const restMs = Math.min(EVERY_MS, Math.max(0, EVERY_MS - (clock.chainMs() - heardMs)));
  let dueMs = clock.monotonicMs() + restMs + random() * FIRST_SPREAD_MS;

  async function ask(): Promise<void> {
    try {
      const given = await provider.fetch(clock.chainMs(), ending.signal);
      if (ending.signal.aborted) return;
      const forecast = { ...given, issuedMs: clock.chainMs() };
      archive.add(forecast);
      store.weather.save(forecast);
      failures = 0;
      trouble = null;
      dueMs = clock.monotonicMs() + EVERY_MS + random() * SPREAD_MS;
      log.info({ source: provider.name, hours: given.values.temperatureC.length }, 'weather forecast');
    } catch (error) {
      if (ending.signal.aborted) return;
      failures++;
      const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (failures - 1));
      dueMs = clock.monotonicMs() + waitMs * (1 + random() / 4);
      trouble = `${provider.name}: ${describeError(error)}`;
    }
  }

  return {
    archive,
    tick() {
      if (asking !== null || ending.signal.aborted || clock.monotonicMs() < dueMs) return;
      asking = ask().finally(() => {
        asking = null;
      });
    },
    trouble: () => trouble,
    async stop() {
      ending.abort();
      await asking;
    },
  };
}
