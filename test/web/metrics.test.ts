// The figures of a validator as Prometheus reads them.

import { expect, test } from 'vitest';
import { SILENT } from '../../src/base/log.ts';
import { gaugesOf } from '../../src/validator/gauges.ts';
import { metricsText, serveMetrics } from '../../src/web/metrics.ts';

test('a gauge has its help, its type and its value; labels are escaped', () => {
  const labels = { name: 'a "b" \\ c\nd' };
  expect(metricsText([{ name: 'view', help: 'View of consensus.', value: 7, labels }])).toBe(
    '# HELP wattpact_view View of consensus.\n# TYPE wattpact_view gauge\nwattpact_view{name="a \\"b\\" \\\\ c\\nd"} 7\n',
  );
});

test('a validator that is behind and accuses another says so; only /metrics is answered, and only read', async () => {
  const clock = { chainMs: () => 90_500, monotonicMs: () => 0 };
  const message = { body: {}, kind: 'pbft.prepare', signature: '', signer: 'v3' };
  const status = {
    engine: 'pbft',
    height: 12,
    view: 3,
    primary: 'v3',
    state: 'following' as const,
    why: '',
    pending: 2,
    evidence: [{ accused: 'v3', first: message, second: message }],
  };
  const gauges = () => gaugesOf(status, { connected: 1, brokers: [] }, 60_000, clock);
  const metrics = await serveMetrics({ host: '127.0.0.1', port: 0, gauges, log: SILENT });
  try {
    const answer = await fetch(metrics.url);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    for (const line of [
      'height_blocks 12',
      'head_age_seconds 30.5',
      'voting 0',
      'state 3',
      'accused_validators 1',
      'pending_requests 2',
    ])
      expect(text).toContain(`\nwattpact_${line}\n`);
    expect((await fetch(metrics.url, { method: 'POST' })).status).toBe(405);
    expect((await fetch(metrics.url.replace('/metrics', '/state'))).status).toBe(404);
  } finally {
    await metrics.close();
  }
});
