// The encoder under mqtt.js and aedes keeps a Buffer of each of the 65,536 two-byte numbers unless it is told not to: 20 MiB that a
// small machine has better use for. Imported for that effect by whoever speaks MQTT.

import { createRequire } from 'node:module';

const packets = createRequire(import.meta.resolve('mqtt'))('mqtt-packet') as {
  readonly writeToStream: { cacheNumbers: boolean };
};
packets.writeToStream.cacheNumbers = false;
