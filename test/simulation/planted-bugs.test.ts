import t from 'tap';
import { Violation } from './checker.js';
import { PLANTED } from './planted-bugs.js';
import { simulate } from './simulation.js';

/** Seeds that are tried until one catches the bug. */
const MOST_SEEDS = 400;
t.setTimeout(600_000);

for (const { name, caughtBy, wanted, make } of PLANTED) {
  t.test(`planted: ${name}`, async (t) => {
    for (let seed = 1; seed <= MOST_SEEDS; seed += 1) {
      const { failure } = await simulate(seed, { ...wanted, bug: make() });
      if (failure === undefined) continue;
      if (!(failure instanceof Violation)) throw failure;
      t.ok(caughtBy.includes(failure.rule), `seed ${seed} catches it: ${failure.message}`);
      const sound = await simulate(seed, wanted);
      t.equal(sound.failure, undefined, 'without the bug the same seed holds');
      return;
    }
    t.fail(`not caught within ${MOST_SEEDS} seeds`);
  });
}
