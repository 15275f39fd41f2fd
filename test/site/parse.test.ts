import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WattpactError } from '../../src/base/errors.ts';
import { nearest } from '../../src/base/nearest.ts';
import { loadProfile, loadSite, notesOfSite, profileNames } from '../../src/site/load.ts';
import { checkProfiles, parseProfile, parseSite, profileName, siteNotes } from '../../src/site/parse.ts';
import { YAML_CHARACTERS_MAX } from '../../src/site/yaml.ts';

const ROOT = resolve(import.meta.dirname, '../..');

function errorsOf(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(WattpactError);
    return (error as WattpactError).message.split('\n');
  }
  return [];
}

const PROFILE = `format: 1
maker: Maker
model: Model
kind: meter
verified: documented
sources: [a document]
points:
  gridPowerW: { address: 52, type: f32, positive: import }
`;

const SITE = `version: 1
id: house
name: House
location: { latitude: 48, longitude: 11 }
timezone: Europe/Berlin
connection: { phases: 3, ampsPerPhase: 35, importLimitW: 24000, exportLimitW: 10000, defaultLimit: { importW: 24000, exportW: 0 } }
buses:
  one: { kind: tcp, host: 127.0.0.1 }
devices:
  meter: { profile: eastron/sdm630, bus: one, unitId: 1, role: grid-meter }
contract: { floorUcPerWh: 5000, ceilingUcPerWh: 40000 }
`;

const PUMP = `loads:
  pump: { device: meter, kind: sg-ready, control: switch1, block: switch2, powersW: [1500, 3000] }
`;

describe('profiles', () => {
  test('a small one is read with every default', () => {
    const profile = parseProfile(PROFILE, 'profiles/maker/model.yaml');
    expect(profile.name).toBe('maker/model');
    expect(profile.line).toMatchObject({ unitId: 1, timeoutMs: 1000, registersMax: 100, inFlightMax: 1 });
    expect(profile.points.get('gridPowerW')).toMatchObject({ turn: 1, poll: 'fast', group: null });
    expect(profile.points.get('gridPowerW')?.parts).toMatchObject([
      { table: 'holding', address: 52, length: 2, scale: 1 },
    ]);
  });

  const cases: readonly { name: string; change: (text: string) => string; expected: RegExp }[] = [
    {
      name: 'unknown key',
      change: (t) => t.replace('address: 52', 'adress: 52'),
      expected: /^p\.yaml:8:17 points\.gridPowerW\.adress: unknown key; did you mean address\?/,
    },
    {
      name: 'unknown key at the top',
      change: (t) => `${t}frame: []\n`,
      expected: /^p\.yaml:9:1 frame: unknown key; did you mean frames\?/,
    },
    {
      name: 'unknown measurand',
      change: (t) => t.replace('gridPowerW', 'gridPower'),
      expected: /^p\.yaml:8:3 points\.gridPower/,
    },
    {
      name: 'wrong type',
      change: (t) => t.replace('f32', 'float'),
      expected: /^p\.yaml:8:36 points\.gridPowerW\.type: must be u16, .* or bit, not "float"/,
    },
    {
      name: 'address out of range',
      change: (t) => t.replace('52', '70000'),
      expected: /^p\.yaml:8:26 points\.gridPowerW\.address: must be at most 65535, not 70000/,
    },
    {
      name: 'no direction',
      change: (t) => t.replace(', positive: import', ''),
      expected: /^p\.yaml:8:15 points\.gridPowerW: needs positive: import or export/,
    },
    {
      name: 'wrong direction',
      change: (t) => t.replace('import }', 'charging }'),
      expected: /needs positive: import or export/,
    },
    { name: 'missing maker', change: (t) => t.replace('maker: Maker\n', ''), expected: /^p\.yaml:1:1 maker: / },
    {
      name: 'claims another format',
      change: (t) => t.replace('format: 1', 'format: 2'),
      expected: /^p\.yaml:1:9 format: /,
    },
    {
      name: 'model not in the chain',
      change: (t) => t.replace('address: 52', 'model: 103, address: 2'),
      expected: /SunSpec model 103 is not listed/,
    },
    { name: 'duplicate key', change: (t) => `${t}maker: Again\n`, expected: /^p\.yaml:9:1 .*unique/i },
    { name: 'broken YAML', change: (t) => `${t}  - [\n`, expected: /^p\.yaml:\d+:\d+ / },
  ];
  for (const { name, change, expected } of cases) {
    test(`says where: ${name}`, () => {
      const errors = errorsOf(() => parseProfile(change(PROFILE), 'p.yaml'));
      expect(
        errors.some((line) => expected.test(line)),
        errors.join('\n'),
      ).toBe(true);
    });
  }

  test('every error at once, in the order of the file', () => {
    const text = PROFILE.replace('kind: meter', 'kind: meeter')
      .replace('f32', 'float')
      .replace('import }', 'import, polll: fast }');
    const errors = errorsOf(() => parseProfile(text, 'p.yaml'));
    expect(errors.map((line) => line.split(' ')[0])).toEqual(['p.yaml:4:7', 'p.yaml:8:36', 'p.yaml:8:61']);
  });

  test('a watchdog that is not there cannot be relied on', () => {
    const text = `${PROFILE}controls:
  generationLimitW:
    limits: { min: 0, max: 100 }
    write: [{ address: 1, type: u16, carries: value }]
    revert: rated
    storage: eeprom
    failsafe: watchdog
`;
    const errors = errorsOf(() => parseProfile(text, 'p.yaml'));
    expect(errors).toEqual([
      expect.stringMatching(/^p\.yaml:14:14 .*eeprom: give dailyWrites/),
      expect.stringMatching(/^p\.yaml:15:15 .*none is described/),
    ]);
  });
});

describe('site files', () => {
  test('a small one is read with every default', () => {
    const site = parseSite(SITE, 'house.yaml');
    expect(site.buses).toEqual([{ id: 'one', kind: 'tcp', host: '127.0.0.1', port: 502, share: null }]);
    expect(site.devices[0]).toMatchObject({ id: 'meter', phases: ['L1', 'L2', 'L3'], ratedW: null, ctFactor: 1 });
    expect(site.contract).toEqual({
      floorUcPerWh: 5000,
      ceilingUcPerWh: 40000,
      riskQuantile: null,
      quorumAtLeast: null,
    });
  });

  const cases: readonly { name: string; change: (text: string) => string; expected: RegExp }[] = [
    {
      name: 'unknown bus',
      change: (t) => t.replace('bus: one', 'bus: onee'),
      expected: /^s\.yaml:10:42 devices\.meter\.bus: there is no bus onee; did you mean one\?/,
    },
    {
      name: 'unknown role',
      change: (t) => t.replace('grid-meter', 'gridmeter'),
      expected: /^s\.yaml:10:64 devices\.meter\.role: must be .*, not "gridmeter"; did you mean grid-meter\?/,
    },
    {
      name: 'no grid meter',
      change: (t) => t.replace('grid-meter', 'meter'),
      expected: /^s\.yaml:10:3 devices: a site has exactly one device with role grid-meter; found none/,
    },
    {
      name: 'time zone',
      change: (t) => t.replace('Europe/Berlin', 'Europe/Berlim'),
      expected: /^s\.yaml:5:11 timezone: is no time zone/,
    },
    { name: 'id', change: (t) => t.replace('  meter:', '  Meter:'), expected: /^s\.yaml:10:3 .*an id is a-z/ },
    {
      name: 'prices',
      change: (t) => t.replace('floorUcPerWh: 5000', 'floorUcPerWh: 50000'),
      expected: /^s\.yaml:11:11 contract: floorUcPerWh is above/,
    },
    {
      name: 'money is an integer',
      change: (t) => t.replace('5000,', '5000.5,'),
      expected: /^s\.yaml:11:27 contract\.floorUcPerWh: /,
    },
    {
      name: 'unknown device of a load',
      change: (t) => `${t}loads:\n  boiler: { device: relay, control: switch1, ratedW: 2000 }\n`,
      expected: /^s\.yaml:13:21 loads\.boiler\.device: there is no device relay/,
    },
    {
      name: 'a heat pump without its second contact',
      change: (t) => t.replace('contract:', `${PUMP}contract:`).replace('block: switch2, ', ''),
      expected: /^s\.yaml:12:9 loads\.pump\.block: is missing: the second contact/,
    },
    {
      name: 'a heat pump with one power',
      change: (t) => t.replace('contract:', `${PUMP}contract:`).replace('[1500, 3000]', '[1500]'),
      expected: /^s\.yaml:12:85 loads\.pump\.powersW: an sg-ready load needs/,
    },
    {
      name: 'a heat pump whose forced power is the lower one',
      change: (t) => t.replace('contract:', `${PUMP}contract:`).replace('[1500, 3000]', '[3000, 1500]'),
      expected: /^s\.yaml:12:85 loads\.pump\.powersW: an sg-ready load needs/,
    },
    {
      name: 'one contact for both',
      change: (t) => t.replace('contract:', `${PUMP}contract:`).replace('block: switch2', 'block: switch1'),
      expected: /^s\.yaml:12:67 loads\.pump\.block: pump is already on meter switch1/,
    },
    {
      name: 'a second contact of another kind of load',
      change: (t) => t.replace('contract:', `${PUMP}contract:`).replace('sg-ready', 'switch'),
      expected: /loads\.pump\.block: is the second contact of a load of kind sg-ready/,
    },
    {
      name: 'a taper that goes backwards',
      change: (t) =>
        `${t}storage:\n  wall: { device: meter, capacityWh: 5000, chargeLimitW: 2500, dischargeLimitW: 2500, chargeTaper: [{ percent: 90, powerW: 500 }, { percent: 50, powerW: 2500 }] }\n`,
      expected: /storage\.wall\.chargeTaper: percent must rise/,
    },
    {
      name: 'a taper that says two things of one percent',
      change: (t) =>
        `${t}storage:\n  wall: { device: meter, capacityWh: 5000, chargeLimitW: 2500, dischargeLimitW: 2500, chargeTaper: [{ percent: 90, powerW: 2500 }, { percent: 90, powerW: 500 }] }\n`,
      expected: /storage\.wall\.chargeTaper: percent must rise/,
    },
    ...[0, 248].map((unitId) => ({
      name: `unit ${unitId} on a serial line`,
      change: (t: string) =>
        t
          .replace('{ kind: tcp, host: 127.0.0.1 }', '{ kind: rtu, path: /dev/ttyUSB0 }')
          .replace('unitId: 1', `unitId: ${unitId}`),
      expected: /devices\.meter\.unitId: is 1 to 247 on a serial line/,
    })),
    {
      name: 'a load without its power',
      change: (t) => `${t}loads:\n  boiler: { device: meter, control: switch1 }\n`,
      expected: /^s\.yaml:13:11 loads\.boiler\.ratedW: is missing/,
    },
    {
      name: 'a meter that covers itself',
      change: (t) => t.replace('grid-meter }', 'grid-meter, covers: [meter] }'),
      expected: /covers\.0: a meter cannot cover itself/,
    },
    {
      name: 'phases of the connection',
      change: (t) => t.replace('phases: 3', 'phases: 1').replace('grid-meter }', 'grid-meter, phases: [L2] }'),
      expected: /the connection has only L1/,
    },
    {
      name: 'key of another kind of bus',
      change: (t) => t.replace('host: 127.0.0.1', 'host: 127.0.0.1, baud: 9600'),
      expected: /^s\.yaml:8:38 buses\.one\.baud: does not belong here/,
    },
  ];
  for (const { name, change, expected } of cases) {
    test(`says where: ${name}`, () => {
      const errors = errorsOf(() => parseSite(change(SITE), 's.yaml'));
      expect(
        errors.some((line) => expected.test(line)),
        errors.join('\n'),
      ).toBe(true);
    });
  }

  test('a heat pump by SG-ready states: ten minutes in each, unless the file says otherwise; both contacts must be there', () => {
    const text = SITE.replace('contract:', `${PUMP}contract:`);
    expect(parseSite(text, 's.yaml').loads).toMatchObject([
      { block: 'switch2', ratedW: 3000, powersW: [1500, 3000], minOnMs: 600_000, minOffMs: 600_000 },
    ]);
    const quicker = text.replace('powersW', 'minOnSeconds: 0, powersW');
    expect(parseSite(quicker, 's.yaml').loads).toMatchObject([{ minOnMs: 0, minOffMs: 600_000 }]);
    const profiles = new Map([['eastron/sdm630', loadProfile('eastron/sdm630')]]);
    const errors = errorsOf(() => checkProfiles(parseSite(text, 's.yaml'), profiles, 's.yaml', text));
    expect(errors).toEqual([
      expect.stringMatching(/^s\.yaml:12:51 loads\.pump\.control: profile eastron\/sdm630 has no switch1/),
      expect.stringMatching(/^s\.yaml:12:67 loads\.pump\.block: profile eastron\/sdm630 has no switch2/),
    ]);
  });

  test('references are checked also when another part is wrong', () => {
    const errors = errorsOf(() =>
      parseSite(SITE.replace('bus: one', 'bus: two').replace('version: 1', 'version: 9'), 's.yaml'),
    );
    expect(errors).toHaveLength(2);
  });

  test('two devices of one kind cannot have one address, a circle of meters is none', () => {
    const twice = SITE.replace(
      'contract:',
      '  pv: { profile: eastron/sdm630, bus: one, unitId: 1, role: grid-meter }\ncontract:',
    );
    expect(errorsOf(() => parseSite(twice, 's.yaml')).join()).toMatch(/pv\.unitId: meter is already at one unit 1/);
    const circle = SITE.replace('role: grid-meter }', 'role: grid-meter, covers: [sub] }').replace(
      'contract:',
      '  sub: { profile: eastron/sdm630, bus: one, unitId: 2, role: meter, covers: [meter] }\ncontract:',
    );
    expect(errorsOf(() => parseSite(circle, 's.yaml'))[0]).toMatch(/circle/);
  });

  test('the profile must have what the role needs', () => {
    const text = SITE.replace('eastron/sdm630', 'waveshare/relay-8');
    const profiles = new Map([['waveshare/relay-8', loadProfile('waveshare/relay-8')]]);
    const errors = errorsOf(() => checkProfiles(parseSite(text, 's.yaml'), profiles, 's.yaml', text));
    expect(errors).toHaveLength(3);
    for (const line of errors) expect(line).toMatch(/^s\.yaml:10:21 devices\.meter\.profile: profile .* has no /);
  });

  test('a battery whose profile names no watchdog is valid, and it is said where that it is never driven', () => {
    const text = (profile: string) =>
      `${SITE.replace('contract:', `  wall: { profile: ${profile}, bus: one, unitId: 2, role: battery }\ncontract:`)}storage:
  wall: { device: wall, capacityWh: 5000, chargeLimitW: 2500, dischargeLimitW: 2500 }
`;
    const dir = mkdtempSync(join(tmpdir(), 'wattpact-site-'));
    const file = join(dir, 's.yaml');
    try {
      writeFileSync(file, text('marstek/venus-e'));
      const without = loadSite(file);
      expect(without.site.storage).toMatchObject([{ id: 'wall', driven: false }]);
      expect(notesOfSite(without)).toEqual([
        expect.stringMatching(
          /s\.yaml:14:19 storage\.wall\.device: profile marstek\/venus-e names no watchdog: .*never driven/,
        ),
      ]);
      writeFileSync(file, text('fox-ess/h3'));
      const driven = loadSite(file);
      expect(driven.site.storage).toMatchObject([{ id: 'wall', driven: true }]);
      expect(notesOfSite(driven)).toEqual([]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test.each([
    ['energyWh: 4000', null],
    ['energyWh: 4001', /loads\.boiler\.need\.energyWh: 2000 W from 22:00 until 00:00 are 4000 Wh: it never gets all/],
  ])('a need of a load that fits into its hours or not: %s', (energy, expected) => {
    const text = `${SITE}loads:
  boiler: { device: meter, control: switch1, ratedW: 2000, need: { ${energy}, from: "22:00", until: "00:00" } }
`;
    const notes = siteNotes({ site: parseSite(text, 's.yaml'), file: 's.yaml' }, text);
    expect(notes).toEqual(expected === null ? [] : [expect.stringMatching(expected)]);
  });

  test('a program longer than its hours is said to run never', () => {
    const text = `${SITE}loads:
  kiln: { device: meter, control: switch1, kind: program, ratedW: 2000, powersW: [2000], minOnSeconds: 7200, need: { from: "12:00", until: "13:00" } }
`;
    const notes = siteNotes({ site: parseSite(text, 's.yaml'), file: 's.yaml' }, text);
    expect(notes).toEqual([expect.stringMatching(/loads\.kiln\.need: the program lasts longer than from 12:00/)]);
  });

  test('a folder of profiles may be missing, or hold other things: what is a profile in it is found', () => {
    const dir = mkdtempSync(join(tmpdir(), 'wattpact-profiles-'));
    try {
      mkdirSync(join(dir, 'maker'));
      mkdirSync(join(dir, 'empty'));
      for (const name of ['README.md', 'maker/b.yaml', 'maker/a.yaml', 'maker/notes.txt'])
        writeFileSync(join(dir, name), PROFILE);
      expect(profileNames([dir, join(dir, 'none'), join(dir, 'README.md')], [])).toEqual(['maker/a', 'maker/b']);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test('an unknown profile is named with the nearest one', () => {
    expect(errorsOf(() => loadProfile('eastron/sdm631'))).toEqual([
      'there is no profile eastron/sdm631; did you mean eastron/sdm630?',
    ]);
    expect(errorsOf(() => loadSite('/nowhere/site.yaml'))).toEqual([
      'cannot read the site file /nowhere/site.yaml: there is no such file',
    ]);
  });
});

describe('hostile text', () => {
  test('whatever comes, an error of ours', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string({ unit: fc.constantFrom('[', '{', '-', ' ', '\n', ':', '&a', '*a', '!!x') }),
        ),
        (text) => {
          errorsOf(() => parseProfile(text, 'x.yaml'));
          errorsOf(() => parseSite(text, 'x.yaml'));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('too long, too deep, too many aliases', () => {
    expect(errorsOf(() => parseSite('a'.repeat(YAML_CHARACTERS_MAX + 1), 'x'))[0]).toMatch(/longer than/);
    expect(errorsOf(() => parseSite('['.repeat(20_000), 'x'))[0]).toMatch(/^x:/);
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...Array.from(
        { length: 9 },
        (_, i) => `${'bcdefghij'[i]}: &${'bcdefghij'[i]} [${`*${'abcdefghi'[i]},`.repeat(9)}]`,
      ),
    ].join('\n');
    expect(errorsOf(() => parseSite(bomb, 'x'))[0]).toMatch(/^x:1:1 cannot be read as YAML/);
  });
});

test('the site files that ship are valid', () => {
  const files = [
    ...['house', 'farm', 'factory', 'flat'].map((name) => `demo/${name}.yaml`),
    ...readdirSync(join(ROOT, 'devices/examples')).map((name) => `examples/${name}`),
  ];
  expect(files.length).toBeGreaterThan(6);
  for (const file of files) expect(loadSite(join(ROOT, 'devices', file)).profiles.size).toBeGreaterThan(0);
});

test('profiles beside the site file come before the shipped ones', () => {
  const dir = mkdtempSync(join(tmpdir(), 'wattpact-site-'));
  try {
    copyFileSync(join(ROOT, 'devices/demo/farm.yaml'), join(dir, 'farm.yaml'));
    mkdirSync(join(dir, 'profiles/eastron'), { recursive: true });
    const shipped = readFileSync(join(ROOT, 'profiles/eastron/sdm630.yaml'), 'utf8');
    writeFileSync(join(dir, 'profiles/eastron/sdm630.yaml'), shipped.replace('SDM630-Modbus V2', 'our own'));
    const { profiles } = loadSite(join(dir, 'farm.yaml'));
    expect(profiles.get('eastron/sdm630')?.model).toBe('our own');
    expect(profiles.get('sunspec/wind-inverter')?.maker).toBe('SunSpec');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a name comes from the path', () => {
  expect(profileName('/x/profiles/eastron/sdm630.yaml')).toBe('eastron/sdm630');
  expect(nearest('grid-metr', ['grid-meter', 'meter'])).toBe('grid-meter');
  expect(nearest('zzzzzzzzzz', ['grid-meter', 'meter'])).toBe(null);
  expect(profileNames()).toContain('eastron/sdm630');
  expect(readFileSync(join(ROOT, 'devices/demo/house.yaml'), 'utf8')).toMatch(/^# /);
});
