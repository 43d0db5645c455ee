import t from 'tap';
import { needed } from '../../support/needs.js';
import { startSecantusDb } from '../../support/secantusdb.js';
import { caseName, MANUAL_CASES } from './manual/cases.js';
import { checkManual } from './manual/check.js';
import { SECANTUSDB_DIFFERENCES } from './manual/secantusdb-differences.js';

t.test('every declared difference is one of a case', (t) => {
  const names = new Set(MANUAL_CASES.map(caseName));
  t.strictSame(
    [...SECANTUSDB_DIFFERENCES.keys()].filter((name) => !names.has(name)),
    [],
  );
  t.end();
});

t.test('the table on an independent server, but for its declared differences', async (t) => {
  const program = needed(t, 'secantusdb');
  if (program === undefined) return;
  const server = await startSecantusDb(program);
  t.teardown(() => server.stop());
  await checkManual(t, server.uri);
});
