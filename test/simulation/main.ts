import { parseArgs } from 'node:util';
import { simulate } from './simulation.js';

/** `npm run simulate -- --seeds N [--seed S] [--trace]`: runs N seeds from S on (default 1,000 from 1) and prints what was injected; a failing seed is printed and ends it with 1. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error('--seeds and --seed take whole numbers, --seeds at least 1');
  process.exit(64);
}

const faults = new Map<string, number>();
const failed: number[] = [];
const sum = { deliveries: 0, calls: 0, repeated: 0, takeovers: 0, virtualMs: 0, events: 0 };
const startedAt = performance.now();
for (let seed = first; seed < first + count; seed += 1) {
  const report = await simulate(seed, { keepLines: values.trace });
  for (const [kind, times] of report.faults) faults.set(kind, (faults.get(kind) ?? 0) + times);
  sum.deliveries += report.counts.deliveries;
  sum.calls += report.counts.calls;
  sum.repeated += report.counts.repeated;
  sum.takeovers += report.counts.takeovers;
  sum.virtualMs += report.virtualMs;
  sum.events += report.events;
  if (values.trace) for (const line of report.lines) console.log(line);
  if (report.failure !== undefined) {
    failed.push(seed);
    console.log(`seed ${seed} FAILED: ${report.failure.message}`);
    if (report.failure.name !== 'Violation') console.log(report.failure.stack);
    console.log(`  again: npm run simulate -- --seeds 1 --seed ${seed} --trace`);
  } else if (count === 1) console.log(`seed ${seed} holds, hash ${report.hash.toString(16)}`);
}
const seconds = (performance.now() - startedAt) / 1_000;
console.log(
  `${count} seeds in ${seconds.toFixed(1)} s: ${(count / seconds).toFixed(1)} seeds/s, ${failed.length} failed; ` +
    `${Math.round(sum.virtualMs / 1_000)} s of virtual time, ${sum.events} events`,
);
console.log(
  `${sum.deliveries} deliveries, ${sum.calls} calls, ${sum.repeated} repeated at Telegram, ${sum.takeovers} leases taken`,
);
console.log('faults injected:');
for (const [kind, times] of [...faults].sort(([a], [b]) => a.localeCompare(b)))
  console.log(`${String(times).padStart(9)}  ${kind}`);
process.exitCode = failed.length > 0 ? 1 : 0;
