// How one lonely request's way grows with the number of validators: a process each on this one machine, over the embedded broker
// and over mosquitto, which also counts the messages.

import { startCluster } from './cluster.ts';
import { startLoad } from './load.ts';
import { hasMosquitto } from './mosquitto.ts';
import { median, quantile } from './parts.ts';

const GATEWAYS = 5;

export interface Latency {
  readonly validators: number;
  readonly over: 'embedded' | 'mosquitto';
  readonly medianMs: number;
  readonly p99Ms: number;
  /** Processor time of all validators for one request. */
  readonly cpuMs: number;
  /** Messages a request, published and delivered; null where nobody counts. */
  readonly messages: { readonly published: number; readonly delivered: number } | null;
}

export async function lonelyLatency(
  validators: number,
  over: 'embedded' | 'mosquitto',
  requests: { readonly warmUp: number; readonly measured: number },
): Promise<Latency | null> {
  if (over === 'mosquitto' && !hasMosquitto()) {
    process.stderr.write('mosquitto is not installed: skipped\n');
    return null;
  }
  const cluster = await startCluster(validators, GATEWAYS, over);
  try {
    const load = await startLoad(cluster);
    const names = [...cluster.gateways.keys()];
    const ask = async (count: number): Promise<number[]> => {
      const times: number[] = [];
      for (let i = 0; i < count; i++) times.push((await load.ask(names[i % names.length] as string)).tookMs);
      return times;
    };
    await ask(requests.warmUp);
    const before = await cluster.mosquitto?.messages();
    const cpuBefore = cluster.cpuMs();
    const times = await ask(requests.measured);
    const cpuMs = (cluster.cpuMs() - cpuBefore) / times.length;
    const after = await cluster.mosquitto?.messages();
    await load.stop();
    const per = (total: number): number => Math.round(total / times.length);
    const messages =
      before === undefined || after === undefined
        ? null
        : { published: per(after.received - before.received), delivered: per(after.sent - before.sent) };
    return { validators, over, medianMs: median(times), p99Ms: quantile(times, 0.99), cpuMs, messages };
  } finally {
    cluster.stop();
  }
}
