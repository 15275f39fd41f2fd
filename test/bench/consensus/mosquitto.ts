// mosquitto as the broker between the validators, where it is installed, and what it counted.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';

/** It publishes its counts once in so many seconds. */
const COUNT_EVERY_S = 1;
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

/** It listens within this time, or not at all. */
const LISTENING_MS_MAX = 5_000;

export interface Mosquitto {
  readonly url: string;
  /** PUBLISH packets it took in and gave out since its start, as of its next count. */
  messages(): Promise<{ readonly received: number; readonly sent: number }>;
  stop(): void;
}

export function hasMosquitto(): boolean {
  return spawnSync('mosquitto', ['-h'], { env: { PATH } }).error === undefined;
}

export async function startMosquitto(folder: string, port: number): Promise<Mosquitto> {
  const file = join(folder, 'mosquitto.conf');
  // As docs say for a broker that is not ours: without Nagle's algorithm; here without passwords.
  writeFileSync(
    file,
    `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nsys_interval ${COUNT_EVERY_S}\nlog_type error\n`,
  );
  const child: ChildProcess = spawn('mosquitto', ['-c', file], { stdio: 'inherit', env: { PATH } });
  const url = `mqtt://127.0.0.1:${port}`;
  const client = await whenListening(url);
  const counts = { received: 0, sent: 0 };
  let heard: (() => void)[] = [];
  client.on('message', (topic, payload) => {
    if (topic.endsWith('/received')) counts.received = Number(payload);
    else counts.sent = Number(payload);
    if (topic.endsWith('/sent')) for (const tell of heard.splice(0)) tell();
  });
  await client.subscribeAsync(['$SYS/broker/publish/messages/received', '$SYS/broker/publish/messages/sent']);
  const next = (): Promise<void> => new Promise((done) => heard.push(done));
  return {
    url,
    async messages() {
      await next(); // the count that was due may be older than the question
      await next();
      return { ...counts };
    },
    stop() {
      heard = [];
      client.end(true);
      child.kill('SIGKILL');
    },
  };
}

async function whenListening(url: string): Promise<mqtt.MqttClient> {
  const untilMs = performance.now() + LISTENING_MS_MAX;
  for (;;) {
    try {
      return await mqtt.connectAsync(url);
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
