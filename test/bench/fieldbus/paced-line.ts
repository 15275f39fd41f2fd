// One end of a serial line whose bytes take their time both ways, with meters on it: `node paced-line.ts PATH BAUD TURNAROUND_MS UNITS`.
// A pty delivers at once; here a request counts as heard when its last bit would have arrived, and an answer is written when its
// last bit would have left. UNITS is a list such as 1,2,3; others are silent; a list on standard input takes its place. Registers hold
// their address.

import { SerialPort } from 'serialport';
import { crc16 } from '../../../src/fieldbus/ports.ts';

const [path = '', baudText = '9600', turnaroundText = '5', unitsText = '1'] = process.argv.slice(2);
const bitsPerByte = 10;
const byteMs = (bitsPerByte * 1000) / Number(baudText);
const turnaroundMs = Number(turnaroundText);
let units = new Set(unitsText.split(',').map(Number));
process.stdin.on('data', (text) => {
  units = new Set(String(text).trim().split(',').map(Number));
});
const REQUEST_BYTES = 8;

/** Timers are a millisecond coarse: the rest is waited for awake. */
function at(timeMs: number, act: () => void): void {
  const restMs = timeMs - performance.now();
  if (restMs > 2) {
    setTimeout(() => at(timeMs, act), restMs - 1.5);
    return;
  }
  while (performance.now() < timeMs);
  act();
}

const port = new SerialPort({ path, baudRate: Number(baudText), autoOpen: false });
let rest = Buffer.alloc(0);
port.on('data', (chunk: Buffer) => {
  const heardMs = performance.now();
  rest = Buffer.concat([rest, chunk]);
  while (rest.length >= REQUEST_BYTES) {
    const request = rest.subarray(0, REQUEST_BYTES);
    rest = rest.subarray(REQUEST_BYTES);
    if (!units.has(request[0] as number)) continue;
    const address = request.readUInt16BE(2);
    const count = request.readUInt16BE(4);
    const answer = Buffer.alloc(5 + 2 * count);
    answer[0] = request[0] as number;
    answer[1] = request[1] as number;
    answer[2] = 2 * count;
    for (let i = 0; i < count; i++) answer.writeUInt16BE(address + i, 3 + 2 * i);
    answer.writeUInt16LE(crc16(answer, answer.length - 2), answer.length - 2);
    at(heardMs + REQUEST_BYTES * byteMs + turnaroundMs + answer.length * byteMs, () => port.write(answer));
  }
});
port.open((error) => {
  if (error) throw error;
  process.stdout.write('ready\n');
});
