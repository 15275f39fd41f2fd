// Mistakes that installers make by hand in a site file: each is refused with place and remedy, or told as a note; none is believed in silence.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeError } from '../../src/base/errors.ts';
import { loadSite, notesOfSite } from '../../src/site/load.ts';

const HOUSE = readFileSync(resolve(import.meta.dirname, '../../devices/examples/house.yaml'), 'utf8');
let dir: string;
let file: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'wattpact-site-'));
  file = join(dir, 's.yaml');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What the installer is told of a file: its errors, or the notes of a valid one. */
function told(content: string | Uint8Array): string {
  writeFileSync(file, content);
  try {
    return notesOfSite(loadSite(file))
      .map((note) => `note: ${note}`)
      .join('\n')
      .replaceAll(file, 's.yaml');
  } catch (error) {
    return describeError(error).replaceAll(file, 's.yaml');
  }
}

/** The house with one thing changed. */
function changed(from: string, to: string): string {
  expect(HOUSE).toContain(from);
  return HOUSE.replace(from, to);
}

describe('refused, with place and remedy', () => {
  const cases: readonly [string, string, string, RegExp][] = [
    ['a tab', '  phases: 3', '\tphases: 3', /^s\.yaml:8:1 a tab is no indentation: use spaces$/],
    [
      'a quoted number',
      'importLimitW: 24000',
      'importLimitW: "24000"',
      /^s\.yaml:10:17 .*"24000": leave the quotes out$/,
    ],
    ['a unit', 'importLimitW: 24000', 'importLimitW: 24 kW', /^s\.yaml:10:17 .*"24 kW": write the number alone/],
    [
      'a comma between thousands',
      'importLimitW: 24000',
      'importLimitW: 24,000',
      /^s\.yaml:10:17 .*nothing between thousands/,
    ],
    ['a decimal comma', 'latitude: 48.2', 'latitude: 48,2', /^s\.yaml:5:26 .*follow a point, not a comma$/],
    [
      'a negative limit',
      'exportLimitW: 10000',
      'exportLimitW: -10000',
      /^s\.yaml:11:17 .*must be at least 0, not -10000$/,
    ],
    [
      'a wrong role',
      'role: relay',
      'role: rely',
      /devices\.relay\.role: must be .* or relay, not "rely"; did you mean relay\?/,
    ],
    ['two phases', 'phases: 3', 'phases: 2', /^s\.yaml:8:11 connection\.phases: must be 1 or 3, not 2$/],
    [
      'a number where a text is wanted',
      '"19123456"',
      '19123456',
      /meter\.serial: a text is wanted, not the number 19123456: put it in quotes/,
    ],
    [
      "a word processor's quotes",
      '"19123456"',
      '“19123456”',
      /^s\.yaml:24:22 “ does not quote here: write " on both sides$/,
    ],
    [
      'a value that was left out',
      'capacityWh: 9700',
      'capacityWh:',
      /storage\.battery\.capacityWh: a number is wanted, not nothing/,
    ],
    ['an id twice', '  relay:\n', '  hybrid:\n', /^s\.yaml:31:3 this key stands here twice/],
    ['a text in place of a list', 'phases: [L1]', 'phases: L1', /loads\.boiler\.phases: a list is wanted, not "L1"/],
    [
      'a percentage as efficiency',
      'reservePercent: 15',
      'chargeEfficiency: 95',
      /chargeEfficiency: must be at most 1, not 95/,
    ],
    ['a price in ¤', 'floorUcPerWh: 8000', 'floorUcPerWh: 0.08', /floorUcPerWh: a whole number is wanted, not 0\.08/],
    ['an offset as time zone', 'Europe/Berlin', '"+01:00"', /^s\.yaml:6:11 timezone: is no time zone/],
    [
      'a port in the host',
      'host: 192.168.1.20',
      'host: "192.168.1.20:502"',
      /buses\.inverter\.host: .*the port has its own key/,
    ],
    [
      'an address in a browser',
      'host: 192.168.1.20',
      'host: "http://192.168.1.20"',
      /buses\.inverter\.host: is a name or an address/,
    ],
    [
      'an address that is none',
      'host: 192.168.1.20',
      'host: 192.168.1.256',
      /buses\.inverter\.host: is a name or an address/,
    ],
    [
      'one serial port for two buses',
      '  # The inverter',
      '  two: { kind: rtu, path: /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K5X-if00-port0, baud: 9600 }\n  # The inverter',
      /buses\.two\.path: bus rs485 is already on serial port/,
    ],
    [
      'one door for two buses',
      '  # The inverter',
      '  two: { kind: tcp, host: h, share: { port: 1502 } }\n  # The inverter',
      /share\.port: bus two is already on port 1502/,
    ],
    [
      'two batteries on one device',
      'storage:\n',
      'storage:\n  two: { device: hybrid, capacityWh: 9700, chargeLimitW: 5000, dischargeLimitW: 5000 }\n',
      /storage\.battery\.device: storage two is already on device hybrid/,
    ],
    ['a name that objects have anyhow', '  battery:\n', '  __proto__:\n', /^s\.yaml:37:3 __proto__ is no name$/],
    ['a second document', 'contract:', '---\ncontract:', /a second document begins here: one file holds one/],
    ['a line too far right', '  importLimitW', '    importLimitW', /^s\.yaml:9:17 stands further to the right/m],
  ];
  test.each(cases)('%s', (_name, from, to, expected) => {
    expect(told(changed(from, to))).toMatch(expected);
  });

  const files: readonly [string, string | Uint8Array, RegExp][] = [
    ['an empty file', '', /^s\.yaml:1:1 the file is empty/],
    ['a file of text', 'hello', /^s\.yaml:1:1 the file is not in the form of keys with values/],
    ['another encoding', Buffer.from(HOUSE.replace('Example', 'Müllers'), 'latin1'), /^s\.yaml:4:8 .*UTF-8/],
    ['two bytes a letter', Buffer.from(`\uFEFF${HOUSE}`, 'utf16le'), /^s\.yaml:1:1 is UTF-16, not UTF-8/],
    ['brackets without end', '['.repeat(20_000), /^s\.yaml:1:\d+ is nested too deeply$/m],
    [
      'aliases without end',
      `a: &a [${'x,'.repeat(9)}x]\nb: &b [${'*a,'.repeat(9)}*a]\nc: &c [${'*b,'.repeat(9)}*b]\nd: [${'*c,'.repeat(9)}*c]\n`,
      /^s\.yaml:1:1 cannot be read as YAML/,
    ],
  ];
  test.each(files)('%s', (_name, content, expected) => {
    expect(told(content)).toMatch(expected);
  });

  test('a folder in place of a file', () => {
    expect(() => loadSite(dir)).toThrow(/cannot read the site file .*: it is a folder, not a file/);
  });
});

describe('told, since it may be meant', () => {
  const cases: readonly [string, string, string, RegExp][] = [
    [
      'kW',
      'importLimitW: 24000',
      'importLimitW: 24',
      /^note: s\.yaml:10:17 .*24 W is next to nothing.*Watts are wanted/m,
    ],
    ['kWh', 'capacityWh: 9700', 'capacityWh: 9.7', /^note: s\.yaml:39:17 .*9\.7 Wh in 7 s.*Watt-hours are wanted/m],
    [
      'more than the fuses',
      'importLimitW: 24000',
      'importLimitW: 240000',
      /importLimitW: 240000 W is more than .*24150 W/,
    ],
    ['a default above the limit', 'exportW: 5000', 'exportW: 50000', /exportW: 50000 W is above exportLimitW, 10000 W/],
    ['a generator in kW', 'ratedW: 10000', 'ratedW: 10', /devices\.hybrid\.ratedW: 10 W is next to nothing/],
    [
      'two devices at one address',
      'unitId: 10',
      'unitId: 1',
      /devices\.relay\.unitId: meter of another maker has the same address/,
    ],
    ['a share of one as percentage', 'reservePercent: 15', 'reservePercent: 0.15', /15 is 15 %/],
    ['an unusual speed', 'baud: 9600', 'baud: 96000', /buses\.rs485\.baud: 96000 is an unusual speed/],
    [
      'prices in ¤/kWh',
      'floorUcPerWh: 8000\n  ceilingUcPerWh: 30000',
      'floorUcPerWh: 8\n  ceilingUcPerWh: 30',
      /30 µ¤\/Wh.*30 ¤\/kWh is 30000/,
    ],
  ];
  test.each(cases)('%s', (_name, from, to, expected) => {
    expect(told(changed(from, to))).toMatch(expected);
  });
});

test.each([
  ['as it ships', HOUSE],
  ['with CRLF', HOUSE.replaceAll('\n', '\r\n')],
  ['with a byte-order mark', `\uFEFF${HOUSE}`],
])('the house %s has nothing to be told', (_name, text) => {
  expect(told(text)).toBe('');
});
