// Puts the machine's own SHA-256 (OpenSSL, by node:crypto) in the place of the pure one. Import it for its effect.

import { hash } from 'node:crypto';
import { useSha256 } from '../base/hash.ts';

useSha256((hashed, encoding) => hash('sha256', hashed, encoding === 'hex' ? 'hex' : 'binary'));
