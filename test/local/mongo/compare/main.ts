import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installed } from '../../../support/needs.js';
import { compareSeeds } from './compare.js';
import { failureText, summaryText } from './report.js';
import { startServers } from './servers.js';

const USAGE = `npm run compare:mongodb -- --seeds N [--seed S] [--failures N] [--verbose]
Compares the embedded store with SecantusDB over N random programs (default 200), the first one of seed S (default 1).
It ends after that many failing seeds (default 1). --verbose also lists where both fail with different codes.`;
const PAIRS = 4;

function wholeOf(text: string | undefined, name: string, least: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  console.error(`--${name} must be a whole number of ${least} or more, not '${text}'\n\n${USAGE}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    failures: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const seeds = { first: wholeOf(values.seed, 'seed', 0), count: wholeOf(values.seeds, 'seeds', 1) };
const maxFailures = wholeOf(values.failures, 'failures', 1);
const program = installed('secantusdb');
if (program === undefined) {
  console.error('SecantusDB is not installed: npm run test:needs');
  process.exit(2);
}
const directory = await mkdtemp(join(tmpdir(), 'compare-'));
const servers = await startServers(program, directory, PAIRS);
try {
  const began = performance.now();
  const { tally, failures } = await compareSeeds(servers.pairs, seeds, maxFailures, (done) => {
    if (done % 200 === 0) console.log(`${done} seeds, ${Math.round((performance.now() - began) / 1000)} s`);
  });
  for (const failure of failures) console.log(failureText(failure));
  console.log(summaryText(tally, values.verbose));
  console.log(
    `${seeds.count} seeds from ${seeds.first}: ${failures.length === 0 ? 'no unexplained difference' : `${failures.length} failed`}, ${Math.round((performance.now() - began) / 1000)} s`,
  );
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  await servers.stop();
  await rm(directory, { recursive: true, force: true });
}
