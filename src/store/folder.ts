// A folder's own entries on disk: a file that was made, renamed or removed is so after a power cut only once its folder is flushed.

import { closeSync, fsyncSync, openSync } from 'node:fs';

/** On disk when it returns; throws if it is not. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
