// Twenty devices of a lively site, each on a TCP port of its own: `node served-site.ts PROFILE.yaml COUNT`. Prints the ports, then each
// second how many requests were answered. Powers wander, counters count, the battery (device 6) does what it is told.

import { createImage } from '../../../src/fieldbus/image.ts';
import { answerPdu, EXCEPTION } from '../../../src/simulator/modbus/pdu.ts';
import { serveTcp } from '../../../src/simulator/modbus/server.ts';
import { loadProfile } from '../../../src/site/load.ts';

const [file = '', count = '20'] = process.argv.slice(2);
const STEP_MS = 500;
const profile = loadProfile(file);
const clock = { monotonicMs: () => performance.now() };
let answered = 0;

function device(index: number) {
  const image = createImage(profile, { ratedW: 10_000 });
  const countersWh = { import: 1e6, export: 1e6, generation: 1e6, charge: 1e6, discharge: 1e6 };
  let storedWh = 5_000;
  const step = (): void => {
    const hours = STEP_MS / 3_600_000;
    const swing = Math.sin(performance.now() / 20_000 + index);
    const gridW = 3_000 * swing;
    const generationW = 4_000 + 1_000 * swing;
    const batteryW = Math.min(3_000, Math.max(-3_000, image.control('batterySetpointW') ?? 0));
    storedWh = Math.min(10_000, Math.max(0, storedWh - batteryW * hours));
    countersWh.import += Math.max(0, gridW) * hours;
    countersWh.export += Math.max(0, -gridW) * hours;
    countersWh.generation += generationW * hours;
    countersWh.charge += Math.max(0, -batteryW) * hours;
    countersWh.discharge += Math.max(0, batteryW) * hours;
    image.set(
      new Map([
        ['gridPowerW', gridW],
        ['gridPowerL1W', gridW / 3],
        ['gridPowerL2W', gridW / 3],
        ['gridPowerL3W', gridW / 3],
        ['importEnergyWh', Math.floor(countersWh.import)],
        ['exportEnergyWh', Math.floor(countersWh.export)],
        ['generationPowerW', generationW],
        ['generationEnergyWh', Math.floor(countersWh.generation)],
        ['batteryPowerW', batteryW],
        ['batteryChargeEnergyWh', Math.floor(countersWh.charge)],
        ['batteryDischargeEnergyWh', Math.floor(countersWh.discharge)],
        ['stateOfChargePercent', storedWh / 100],
        ['chargePowerMaxW', 3_000],
        ['dischargePowerMaxW', 3_000],
        ['voltageL1V', 230 + swing],
        ['voltageL2V', 231 + swing],
        ['voltageL3V', 229 + swing],
        ['frequencyHz', 50 + swing / 50],
        ['temperatureDegC', 20 + swing],
      ]),
    );
  };
  step();
  setInterval(step, STEP_MS);
  const unit = {
    readBits: (table: 'coil' | 'discrete', address: number, length: number) =>
      image.read(table, address, length)?.map(Boolean) ?? EXCEPTION.illegalAddress,
    readRegisters(table: 'holding' | 'input', address: number, length: number) {
      const words = image.read(table, address, length);
      return words === null ? EXCEPTION.illegalAddress : Uint16Array.from(words);
    },
    writeCoils: () => EXCEPTION.illegalAddress,
    writeRegisters: (address: number, values: Uint16Array) =>
      image.write('holding', address, [...values]) === null ? EXCEPTION.illegalAddress : 0,
  };
  return (pdu: Uint8Array) => {
    answered += 1;
    return answerPdu(unit, pdu);
  };
}

const ports: number[] = [];
for (let index = 1; index <= Number(count); index++) {
  const units = new Map([[1, device(index)]]);
  ports.push((await serveTcp(units, { host: '127.0.0.1', port: 0, framing: 'tcp', clock })).port);
}
process.stdout.write(`ready ${ports.join(' ')}\n`);
setInterval(() => process.stdout.write(`answered ${answered}\n`), 1_000);
