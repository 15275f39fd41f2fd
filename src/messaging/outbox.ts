// The outbox: what must reach the brokers even if this process ends right after it was said. A port; the store keeps it.
// Persist, then send: `put` is durable when it returns, and only then does a byte leave.

export interface OutboxMessage {
  /** Id of the message (hex SHA-256): one id, one sequence of bytes, for ever. */
  readonly id: string;
  readonly topic: string;
  readonly payload: Uint8Array;
}

/** A message and the brokers that have not acknowledged it yet. */
export interface OutboxEntry extends OutboxMessage {
  readonly acknowledged: readonly string[];
}

export interface Outbox {
  /** Durable when it returns. The same id again changes nothing; the same id with other bytes is a bug and throws; a full outbox throws `outbox.full`. */
  put(message: OutboxMessage): void;
  /** Everything not removed yet, oldest first. */
  all(): readonly OutboxEntry[];
  size(): number;
  acknowledge(id: string, broker: string): void;
  remove(id: string): void;
}
