import t from 'tap';
import { needed } from '../../support/needs.js';
import { compareSeeds } from './compare/compare.js';
import { failureText, refused, summaryText } from './compare/report.js';
import { startServers } from './compare/servers.js';

const SEEDS = process.env.POSTHORN_TEST_LONG === undefined ? 200 : 2000;
const PAIRS = 4;
const MOST_REFUSED = 0.1;

t.test('random programs do the same on the embedded store as on an independent server', async (t) => {
  const program = needed(t, 'secantusdb');
  if (program === undefined) return;
  const servers = await startServers(program, t.testdir(), PAIRS);
  t.teardown(() => servers.stop());
  const first = Number(process.env.POSTHORN_TEST_SEED ?? 1);
  const { tally, failures } = await compareSeeds(servers.pairs, { first, count: SEEDS }, 3);
  t.strictSame(failures.map(failureText), [], 'no difference without an explanation');
  t.ok(refused(tally) < tally.steps * MOST_REFUSED, 'refusals are rare');
  for (const line of summaryText(tally, false).split('\n')) t.comment(line);
});
