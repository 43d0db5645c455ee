// `npm run test:mongodb`: the tests that need a store, on any server of MongoDB's wire protocol.
//   MONGODB_URI=mongodb://…   on that server; each test makes a database of its own and drops it
//   --secantusdb              on a SecantusDB that is started for the run (npm run test:needs installs it)
//   (neither)                 on embedded stores, as npm test does
// What else is given goes to tap, and file names replace the list.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { installed } from '../test/support/needs.ts';
import { startSecantusDb } from '../test/support/secantusdb.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const program = installed('secantusdb');
const FILES = [
  'test/local/mongo/manual.test.ts',
  'test/local/mongo/mongoose/*.test.ts',
  'test/local/mongo/agenda.test.ts',
  'test/store/*.test.ts',
  'test/api/operations.test.ts',
  'test/e2e/*.test.ts',
];

const given = process.argv.slice(2);
const own = given.includes('--secantusdb');
const rest = given.filter((word) => word !== '--secantusdb');
const files = rest.some((word) => word.endsWith('.ts')) ? [] : FILES;

if (own && process.env.MONGODB_URI !== undefined) fail('--secantusdb and MONGODB_URI exclude each other');
if (own && program === undefined) fail('secantusdb is not installed: npm run test:needs');

function fail(line) {
  process.stderr.write(`test:mongodb: ${line}\n`);
  process.exit(1);
}

const server = own ? await startSecantusDb(program) : undefined;
const tap = spawn('tap', [...rest, ...files], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ...(server === undefined ? {} : { MONGODB_URI: server.uri }) },
});
tap.once('close', async (code) => {
  await server?.stop();
  process.exit(code ?? 1);
});
