import { randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import type { Test } from 'tap';
import { isSecantusDb } from '../../../support/secantusdb.js';
import { caseName, MANUAL_CASES } from './cases.js';
import { expectedText, observedText } from './observe.js';
import { SECANTUSDB_DIFFERENCES } from './secantusdb-differences.js';

/** Asserts the whole table on a server, in a database of its own. On SecantusDB, which is told by its own answer to buildInfo, its declared differences must be there as declared, and no
 * others; any other server must do all that the manual says. */
export async function checkManual(t: Test, uri: string): Promise<void> {
  const client = await new MongoClient(uri).connect();
  const db = client.db(`manual_${randomBytes(6).toString('hex')}`);
  t.teardown(async () => {
    await db.dropDatabase();
    await client.close();
  });
  const independent = await isSecantusDb(db);
  for (const one of MANUAL_CASES) {
    const name = caseName(one);
    const known = independent ? SECANTUSDB_DIFFERENCES.get(name) : undefined;
    const expected = expectedText(one);
    if (known !== undefined) t.not(known.answers, expected, `${name}: is a difference`);
    t.equal(
      await observedText(db, one),
      known?.answers ?? expected,
      known === undefined ? name : `${name} (but ${known.explanation})`,
    );
  }
}
