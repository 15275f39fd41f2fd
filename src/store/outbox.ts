// The outbox of messaging, kept in the tables `outbox` and `outbox_acknowledged` of a gateway's file.

import { BugError, WattpactError } from '../base/errors.ts';
import type { Outbox, OutboxEntry } from '../messaging/outbox.ts';
import type { Guard, Sqlite } from './sqlite.ts';

/** Messages on their way at one time: days of a gateway's requests without any broker. */
export const OUTBOX_MAX = 10_000;

interface Row {
  id: string;
  topic: string;
  payload: Buffer;
  /** JSON list. */
  acknowledged: string;
}

const SELECT = `SELECT id, topic, payload, (
  SELECT json_group_array(broker) FROM outbox_acknowledged WHERE outbox_acknowledged.id = outbox.id
) AS acknowledged FROM outbox`;

export function outboxStore(db: Sqlite, guard: Guard): Outbox {
  const byId = db.prepare<[string], Row>(`${SELECT} WHERE id = ?`);
  const all = db.prepare<[], Row>(`${SELECT} ORDER BY place`);
  const count = db.prepare<[], number>('SELECT count(*) FROM outbox').pluck();
  const insert = db.prepare('INSERT INTO outbox (id, topic, payload) VALUES (?, ?, ?)');
  const acknowledge = db.prepare(
    'INSERT OR IGNORE INTO outbox_acknowledged (id, broker) SELECT id, ? FROM outbox WHERE id = ?',
  );
  const remove = db.prepare('DELETE FROM outbox WHERE id = ?');

  const put: Outbox['put'] = ({ id, topic, payload }) => {
    const known = byId.get(id);
    if (known !== undefined) {
      if (known.topic === topic && known.payload.equals(payload)) return;
      throw new BugError(`message ${id} was to be sent with other bytes than before`);
    }
    if ((count.get() as number) >= OUTBOX_MAX) {
      throw new WattpactError('outbox.full', `the outbox holds ${OUTBOX_MAX} messages: no new one is taken`, {
        hint: 'Are the brokers reachable?',
      });
    }
    insert.run(id, topic, Buffer.from(payload));
  };
  return {
    put: (message) => guard(db.transaction(() => put(message))),
    all: () => guard(() => all.all().map(toEntry)),
    size: () => guard(() => count.get() as number),
    acknowledge: (id, broker) => {
      guard(() => acknowledge.run(broker, id));
    },
    remove: (id) => {
      guard(() => remove.run(id));
    },
  };
}

function toEntry({ id, topic, payload, acknowledged }: Row): OutboxEntry {
  return { id, topic, payload: new Uint8Array(payload), acknowledged: JSON.parse(acknowledged) as string[] };
}
