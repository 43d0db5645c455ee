import t from 'tap';
import { simulate } from './simulation.js';

const long = process.env.POSTHORN_TEST_LONG !== undefined;
const SEEDS = long ? 10_000 : 500;
// About 12 seeds a second on a core of its own.
t.setTimeout(long ? 3_600_000 : 600_000);

/** Each has to be met somewhere in the seeds: a fault that is never injected proves nothing. */
const KINDS = [
  'block',
  'client: asks twice at once',
  'operator: cancel',
  'operator: drop',
  'operator: pause',
  'operator: replay',
  'operator: resume',
  'process: clock set',
  'process: actor',
  'process: drain',
  'process: freeze',
  'process: kill',
  'process: start',
  'process: suspend',
  'store away',
  'store: call lost',
  'store: refused, the disk is full',
  'store: cut in the middle of a bulk',
  'store: written after an error was said',
  'store: written and answered with an error',
  'telegram: 429',
  'telegram: 500',
  'telegram: a group migrates',
  'telegram: answer lost',
  'telegram: arrives after its process gave it up',
  'telegram: connection refused',
  'telegram: outage',
  'telegram: request lost',
  'telegram: slow request',
  'unblock',
  'wake: all cursors end',
  'wake: doubled',
  'wake: lost',
];

t.test('a seed runs again exactly as it ran', async (t) => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 10; seed += 1) {
    const [first, second] = [await simulate(seed), await simulate(seed, { keepLines: true })];
    t.equal(second.hash, first.hash, `seed ${seed}`);
    hashes.add(first.hash);
  }
  t.equal(hashes.size, 10, 'and no two seeds are alike');
});

t.test(`the guarantees hold and everything is settled: ${SEEDS} seeds`, async (t) => {
  const faults = new Set<string>();
  const sum = { deliveries: 0, calls: 0, repeated: 0, takeovers: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { failure, ...report } = await simulate(seed);
    if (failure !== undefined) {
      t.fail(`seed ${seed}: ${failure.message}; npm run simulate -- --seeds 1 --seed ${seed} --trace`);
    }
    for (const kind of report.faults.keys()) faults.add(kind);
    for (const field of ['deliveries', 'calls', 'repeated', 'takeovers'] as const) sum[field] += report.counts[field];
  }
  t.same(
    KINDS.filter((kind) => !faults.has(kind)),
    [],
    'each kind of fault was met',
  );
  t.ok(sum.repeated > 0 && sum.takeovers > SEEDS, 'crashes repeat messages, leases change hands');
  t.comment(JSON.stringify(sum));
});
