// A site's weather: what a source's answer becomes, what is said of a bad one, and when it is asked. Against a server of our own: the live
// service is not reached from here.

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { WEATHER_FORECASTS_MAX, type WeatherForecast } from '../../src/forecast/weather.ts';
import { openMeteo, readAnswer } from '../../src/gateway/open-meteo.ts';
import { createSiteWeather, type WeatherProvider } from '../../src/gateway/weather.ts';
import { loadSite } from '../../src/site/load.ts';
import { parseSite } from '../../src/site/parse.ts';
import { openGatewayStore } from '../../src/store/gateway.ts';

const HOUR = 3_600_000;
const MIDNIGHT = Date.UTC(2026, 5, 22);
const NOW = MIDNIGHT + 9.4 * HOUR;
const PLACE = { latitude: 48.4567, longitude: -10.8412 };

interface Answer {
  hourly: Record<string, (number | null)[]>;
  hourly_units: Record<string, string>;
}

/** As the service gives it for three days from midnight: value i is i, radiation 10 i. */
function answer(): Answer {
  const of = (factor: number) => Array.from({ length: 72 }, (_, i): number | null => factor * i);
  return {
    hourly: {
      time: Array.from({ length: 72 }, (_, i) => (MIDNIGHT + i * HOUR) / 1000),
      shortwave_radiation: of(10),
      direct_radiation: of(5),
      temperature_2m: of(0.5),
      cloud_cover: of(1),
      wind_speed_10m: of(0.1),
      wind_speed_80m: of(0.2),
    },
    hourly_units: { time: 'unixtime', temperature_2m: '°C', wind_speed_10m: 'm/s', wind_speed_80m: 'm/s' },
  };
}

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
});

async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/forecast`;
}

const never = new AbortController().signal;

describe('Open-Meteo', () => {
  test('is asked for the hours of a place to a tenth of a degree, and what its address says stays', async () => {
    let asked = new URL('http://nobody');
    const url = await serve((request, response) => {
      asked = new URL(request.url as string, 'http://here');
      response.end(JSON.stringify(answer()));
    });
    const given = await openMeteo(`${url}?apikey=secret`, PLACE).fetch(NOW, never);
    expect(asked.pathname).toBe('/v1/forecast');
    expect(Object.fromEntries(asked.searchParams)).toEqual({
      apikey: 'secret',
      latitude: '48.5',
      longitude: '-10.8',
      hourly: 'shortwave_radiation,direct_radiation,temperature_2m,cloud_cover,wind_speed_10m,wind_speed_80m',
      forecast_days: '3',
      timeformat: 'unixtime',
      timezone: 'UTC',
      temperature_unit: 'celsius',
      wind_speed_unit: 'ms',
    });
    expect(given.startMs).toBe(MIDNIGHT + 9 * HOUR);
    expect(given.values.radiationWm2).toHaveLength(48);
    // Radiation of 09 to 10 stands at 10; the temperature of that hour lies between those of 09 and 10.
    expect(given.values.radiationWm2[0]).toBe(100);
    expect(given.values.temperatureC[0]).toBe(4.75);
  });

  test('what is unknown or no weather is not zero', () => {
    const given = answer();
    (given.hourly.temperature_2m as (number | null)[])[10] = null;
    (given.hourly.wind_speed_10m as (number | null)[])[11] = 900;
    delete given.hourly.cloud_cover;
    const { values } = readAnswer(JSON.stringify(given), NOW);
    expect([...values.temperatureC.slice(0, 3)]).toEqual([Number.NaN, Number.NaN, 5.75]);
    expect(values.wind10Ms[2]).toBeNaN();
    expect(values.cloudPercent.every(Number.isNaN)).toBe(true);
  });

  const wrong: [string, (given: Answer) => void, RegExp][] = [
    ['units', (given) => Object.assign(given.hourly_units, { wind_speed_10m: 'km/h' }), /km\/h, not in m\/s/],
    [
      'days',
      (given) => given.hourly.time?.splice(0, 72, ...[0, 1, 2].map((d) => MIDNIGHT / 1000 + d * 86_400)),
      /one hour/,
    ],
    ['form', (given) => Object.assign(given, { hourly: { time: 'soon' } }), /form that is documented/],
    [
      'another day',
      (given) => Object.assign(given.hourly, { time: given.hourly.time?.map((t) => (t as number) + 864_000) }),
      /speak of now/,
    ],
    [
      'nothing in it',
      (given) =>
        Object.assign(given.hourly, {
          ...Object.fromEntries(
            Object.keys(given.hourly)
              .filter((name) => name !== 'time')
              .map((name) => [name, []]),
          ),
        }),
      /none of the variables/,
    ],
  ];
  test.each(wrong)('an answer that is wrong: %s', (_what, change, reason) => {
    const given = answer();
    change(given);
    expect(() => readAnswer(JSON.stringify(given), NOW)).toThrow(reason);
  });

  const bad: [string, (response: ServerResponse) => void, RegExp][] = [
    [
      'says why',
      (response) => response.writeHead(429).end('{"error":true,"reason":"Hourly limit\\u0007 exceeded"}'),
      /status 429: Hourly limit\? exceeded/,
    ],
    ['no JSON', (response) => response.end('<html>'), /no JSON/],
    ['without end', (response) => response.end(' '.repeat(300_000)), /longer than/],
    ['elsewhere', (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /status 302/],
    ['hung up', (response) => response.destroy(), /hang up|reset/],
  ];
  test.each(bad)('a server that is bad: %s', async (_what, respond, reason) => {
    const url = await serve((_request, response) => respond(response));
    await expect(openMeteo(url, PLACE).fetch(NOW, never)).rejects.toThrow(reason);
  });

  test('nobody there, and nobody waits when it ends', async () => {
    await expect(openMeteo('http://127.0.0.1:1/', PLACE).fetch(NOW, never)).rejects.toThrow(/ECONNREFUSED/);
    const url = await serve(() => undefined);
    const ending = new AbortController();
    const asked = openMeteo(url, PLACE).fetch(NOW, ending.signal);
    ending.abort();
    await expect(asked).rejects.toThrow();
  });
});

describe('when it is asked', () => {
  const MINUTE = 60_000;
  const given = readAnswer(JSON.stringify(answer()), NOW);

  function made(store = openGatewayStore(':memory:'), startMs = NOW, random = 0) {
    let nowMs = startMs;
    let isUp = true;
    let asked = 0;
    const provider: WeatherProvider = {
      name: 'test',
      fetch: async () => {
        asked++;
        if (!isUp) throw new Error('down');
        return given;
      },
    };
    const clock = { chainMs: () => nowMs, monotonicMs: () => nowMs };
    const weather = createSiteWeather({ provider, store, clock, random: () => random, log: SILENT });
    return {
      weather,
      store,
      /** Ticks through so many minutes and returns how often the source was asked. */
      async pass(minutes: number): Promise<number> {
        const before = asked;
        for (let i = 0; i < minutes; i++) {
          weather.tick();
          await Promise.resolve().then(() => undefined);
          await new Promise((done) => setImmediate(done));
          nowMs += MINUTE;
        }
        return asked - before;
      },
      setUp(value: boolean): void {
        isUp = value;
      },
      now: () => nowMs,
    };
  }

  test('every three hours, less and less often while it fails, and it is said', async () => {
    const site = made();
    expect(await site.pass(180)).toBe(1);
    expect(site.weather.trouble()).toBeNull();
    site.setUp(false);
    expect(await site.pass(64)).toBe(7);
    expect(site.weather.trouble()).toBe('test: down');
    expect(await site.pass(600)).toBe(10);
    site.setUp(true);
    await site.pass(60);
    expect(site.weather.trouble()).toBeNull();
    expect(site.weather.archive.newest?.issuedMs).toBeGreaterThan(NOW + 10 * HOUR);
  });

  test.each([
    [0, 180],
    [0.45, 185],
    [0.95, 190],
  ])(
    'a fleet does not ask at once: with the luck of %d it is asked again after %i minutes',
    async (random, minutes) => {
      const site = made(undefined, undefined, random);
      // The first is within half a minute, its next look a minute later.
      const first = random === 0 ? 1 : 2;
      expect(await site.pass(first)).toBe(1);
      expect(await site.pass(minutes - 1)).toBe(0);
      expect(await site.pass(1)).toBe(1);
    },
  );

  test('a restart knows what was known and does not ask again', async () => {
    const first = made();
    await first.pass(10);
    const again = made(first.store, first.now());
    expect(again.weather.archive.newest).toEqual(first.weather.archive.newest);
    expect(again.weather.archive.newest?.values.temperatureC[0]).toBe(4.75);
    expect(await again.pass(150)).toBe(0);
    expect(await again.pass(30)).toBe(1);
  });

  test('the store keeps an end of it', () => {
    const store = openGatewayStore(':memory:');
    for (let i = 0; i < WEATHER_FORECASTS_MAX + 5; i++) {
      store.weather.save({ ...given, issuedMs: NOW + i } satisfies WeatherForecast);
    }
    const kept = store.weather.all();
    expect(kept).toHaveLength(WEATHER_FORECASTS_MAX);
    expect(kept[0]?.issuedMs).toBe(NOW + 5);
  });
});

test('a site file names the days that are lived like a Sunday', () => {
  const text = readFileSync('devices/demo/house.yaml', 'utf8');
  expect(loadSite('devices/demo/house.yaml').site.holidays).toEqual([]);
  expect(parseSite(`${text}holidays: [2026-12-25]\n`, 'a.yaml').holidays).toEqual(['2026-12-25']);
  expect(() => parseSite(`${text}holidays: [2026-02-30]\n`, 'a.yaml')).toThrow(/is a date such as/);
});

test('a site file names its source, and none is needed', () => {
  const file = 'devices/demo/house.yaml';
  expect(loadSite(file).site.weather).toBeNull();
  const text = readFileSync(file, 'utf8');
  const named = (lines: string) => parseSite(`${text}weather:\n${lines}`, 'house.yaml');
  expect(named('  source: open-meteo\n').weather).toEqual({ source: 'open-meteo', url: null });
  const url = 'https://customer-api.open-meteo.com/v1/forecast?apikey=x';
  expect(named(`  source: open-meteo\n  url: ${url}\n`).weather).toEqual({ source: 'open-meteo', url });
  expect(() => named('  source: oracle\n')).toThrow(/house\.yaml:\d+:\d+/);
  expect(() => named('  source: open-meteo\n  url: file:///etc/passwd\n')).toThrow(/is an address such as/);
});
