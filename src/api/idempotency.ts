import { createHash } from 'node:crypto';
import { wrongInput } from './problem.js';

/** A caller's Idempotency-Key with the hash of what it came with. */
export interface Idempotency {
  readonly key: string;
  readonly bodyHash: string;
}

/** JSON with the fields of each object in order of their names, so that equal bodies are equal texts. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`;
}

/**
 * The idempotency of one request, undefined without a key: key 1–255 printable ASCII characters; the hash is SHA-256 (base64url) over
 * the operation's name and the body, where neither white space nor the order of fields counts.
 * Throws a Problem 400 that names the field `Idempotency-Key`.
 */
export function idempotencyOf(operation: string, key: string | undefined, body: unknown): Idempotency | undefined {
  if (key === undefined) return undefined;
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw wrongInput([{ field: 'Idempotency-Key', expected: '1–255 printable ASCII characters' }]);
  }
  const bodyHash = createHash('sha256')
    .update(`${operation}\n${canonical(body)}`)
    .digest('base64url');
  return { key, bodyHash };
}
