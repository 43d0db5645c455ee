import t from 'tap';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { caseName, MANUAL_CASES } from './manual/cases.js';
import { checkManual } from './manual/check.js';

const KINDS = ['comparison', 'error', 'expression', 'index', 'query', 'sort', 'update'];
const LEAST = 260;

t.test('the table is as large as it is meant to be, and names every case once', (t) => {
  t.ok(MANUAL_CASES.length >= LEAST, `${MANUAL_CASES.length} cases`);
  t.strictSame([...new Set(MANUAL_CASES.map(({ kind }) => kind))].sort(), KINDS);
  t.equal(new Set(MANUAL_CASES.map(caseName)).size, MANUAL_CASES.length);
  t.end();
});

t.test('what MongoDB documents', async (t) => {
  let uri = process.env.MONGODB_URI;
  if (uri === undefined) {
    const store = await startEmbeddedStore({ dataDir: t.testdir() });
    t.teardown(() => store.stop());
    uri = store.uri;
  }
  await checkManual(t, uri);
});
