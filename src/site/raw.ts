// Looking into a document that may be of any shape.

/** The value as a record; an empty one when it is none. */
export function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** The record under a key. */
export function recordAt(value: unknown, key: string): Record<string, unknown> {
  return recordOf(recordOf(value)[key]);
}

/** The list under a key; an empty one when there is none. */
export function listAt(value: unknown, key: string): unknown[] {
  const list = recordOf(value)[key];
  return Array.isArray(list) ? list : [];
}
