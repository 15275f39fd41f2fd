// An inverter whose limit lies in EEPROM, and that remembers every value written to it.

import type { AnswerUnit } from '../../src/simulator/modbus/server.ts';
import { parseProfile } from '../../src/site/parse.ts';
import { type Served, served } from './served.ts';

export const EEPROM = parseProfile(
  `format: 1
maker: m
model: m
kind: pv
verified: documented
sources: [none]
points: { generationPowerW: { address: 0, type: u16 } }
controls:
  generationLimitW: { limits: { min: 0, max: 60000 }, write: [{ address: 9, type: u16, carries: value }], revert: 60000, storage: eeprom, dailyWrites: 6, failsafe: none }
`,
  'm/m.yaml',
);
export const INVERTER = 'profile: m/m, unitId: 1, role: pv, ratedW: 60000, curtailable: true';

export type Wearing = Served & { readonly answer: AnswerUnit; readonly written: number[] };

/** `holds`: what the register holds at first; `onWrite` sees each value before it is taken. */
export function wearing(holds = 60_000, onWrite: (value: number) => void = () => undefined): Wearing {
  const device = served(EEPROM);
  device.image.write('holding', 9, [holds]);
  const written: number[] = [];
  device.intercept = (pdu) => {
    if (pdu[0] === 16 || pdu[0] === 6) {
      const value = new DataView(pdu.buffer, pdu.byteOffset).getUint16(pdu[0] === 16 ? 6 : 3);
      onWrite(value);
      written.push(value);
    }
    return undefined;
  };
  return Object.assign(device, { written });
}
