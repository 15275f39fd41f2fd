// What the encoder under mqtt.js and aedes (mqtt-packet) keeps in memory, made fit for processes that run for months. Imported for that
// effect, before either of them, by whoever speaks MQTT.
//
// - It keeps a Buffer of each of the 65,536 two-byte numbers unless it is told not to: 20 MiB.
// - It keeps a Buffer for each length of a packet that it ever wrote (up to 16,384 of them), each a few bytes cut out of Node's pool, so that
//   each holds up to 64 KiB for ever. Here they are all cut out of one piece of memory.

import { createRequire } from 'node:module';

const packets = createRequire(createRequire(import.meta.url).resolve('mqtt'));
const numbers = packets('mqtt-packet/numbers') as { genBufVariableByteInt: (value: number) => Buffer };

/** Values that the encoder keeps: those of at most two bytes. */
const KEPT_BELOW = 2 ** 14;
const BYTES_MAX = 4;
const kept = Buffer.from(new ArrayBuffer(KEPT_BELOW * 2));

/** A number as MQTT 3.1.1 section 2.2.3 writes lengths: seven bits a byte, the least first. */
numbers.genBufVariableByteInt = (value) => {
  const isKept = value < KEPT_BELOW;
  const bytes = isKept ? kept : Buffer.alloc(BYTES_MAX);
  const from = isKept ? value * 2 : 0;
  let at = from;
  let rest = value;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes[at++] = rest > 0 ? digit | 0x80 : digit;
  } while (rest > 0 && at - from < BYTES_MAX);
  return bytes.subarray(from, at);
};

(packets('mqtt-packet') as { writeToStream: { cacheNumbers: boolean } }).writeToStream.cacheNumbers = false;
