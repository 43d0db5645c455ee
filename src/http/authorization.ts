import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from '../api/problem.js';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/**
 * Makes the check of `Authorization: Bearer KEY`: hashes are compared in constant time, so neither content nor length of the key shows.
 * The check throws a Problem 401 PH_AUTH_MISSING or PH_AUTH_WRONG.
 */
export function authorization(apiKey: string): (header: string | undefined) => void {
  const expected = digest(apiKey);
  return (header) => {
    const given = /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1];
    if (given === undefined) {
      throw new Problem({ status: 401, code: 'PH_AUTH_MISSING', detail: 'Send the header Authorization: Bearer KEY.' });
    }
    if (!timingSafeEqual(digest(given), expected)) {
      throw new Problem({ status: 401, code: 'PH_AUTH_WRONG', detail: 'This API key is not valid.' });
    }
  };
}
