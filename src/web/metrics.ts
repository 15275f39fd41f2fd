// A validator's figures for whoever watches it by Prometheus: a text of gauges at GET /metrics, on an address of its own since it is nobody
// else's business. Owns the text and its server; the figures are the validator's.
// Source of the form: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4)

import { createServer } from 'node:http';
import type { Log } from '../base/log.ts';
import { closeServer, listenOn } from './listening.ts';

export interface Gauge {
  /** Without the prefix `wattpact_`; the unit is part of it. */
  readonly name: string;
  readonly help: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Metrics {
  readonly url: string;
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 16;
const HEAD_MS_MAX = 5_000;

export function metricsText(gauges: readonly Gauge[]): string {
  const lines = gauges.flatMap(({ name, help, value, labels }) => {
    const full = `wattpact_${name}`;
    const pairs = Object.entries(labels ?? {}).map(([key, text]) => `${key}="${escaped(text)}"`);
    const of = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
    return [`# HELP ${full} ${help}`, `# TYPE ${full} gauge`, `${full}${of} ${value}`];
  });
  return `${lines.join('\n')}\n`;
}

function escaped(text: string): string {
  return text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n');
}

/** Throws `metrics.port` if the address cannot be had. */
export async function serveMetrics(options: {
  readonly host: string;
  readonly port: number;
  readonly gauges: () => readonly Gauge[];
  readonly log: Log;
}): Promise<Metrics> {
  const { host, port, gauges, log } = options;
  const server = createServer((request, response) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const status = !isRead ? 405 : request.url === '/metrics' ? 200 : 404;
    const text = status === 200 ? metricsText(gauges()) : 'GET /metrics\n';
    response.writeHead(status, {
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      ...(isRead ? {} : { Allow: 'GET, HEAD', Connection: 'close' }),
    });
    response.end(request.method === 'HEAD' ? undefined : text);
  });
  server.headersTimeout = HEAD_MS_MAX;
  server.requestTimeout = HEAD_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${await listenOn(server, host, port, 'metrics')}/metrics`;
  log.info({ url }, 'metrics: listening');
  return {
    url,
    close: () => closeServer(server),
  };
}
