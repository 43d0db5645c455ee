import fc from 'fast-check';
import t from 'tap';
import { LANES, type Lane } from '../../src/delivery/lanes.js';
import { type BotPacing, botPacing, chatSpacingMs, JITTER_MS, type Rates } from '../../src/delivery/pacing.js';

const numRuns = process.env.POSTHORN_TEST_LONG ? 5_000 : 100;

function rates(perSecond: number): Rates {
  return { perSecond, perChatSecond: 1, perGroupMinute: 20 };
}

/** Sends `count` calls of a lane as early as allowed, each over at once; the starts. */
function run(pacing: BotPacing, lane: Lane, count: number, from = 0): number[] {
  const starts: number[] = [];
  let now = from;
  for (let i = 0; i < count; i += 1) {
    now = pacing.earliest(lane, now);
    pacing.take(lane, now);
    pacing.release();
    starts.push(now);
  }
  return starts;
}

/** The largest number of starts in any half-open window of that length. */
function most(starts: readonly number[], windowMs: number): number {
  let first = 0;
  let best = 0;
  starts.forEach((at, i) => {
    while (at - (starts[first] ?? 0) >= windowMs) first += 1;
    best = Math.max(best, i - first + 1);
  });
  return best;
}

t.test('600 bulk messages at 30 a second take 20.5 s', async (t) => {
  const starts = run(botPacing(rates(30), 64), 'bulk', 600);
  const last = starts.at(-1) ?? 0;
  t.ok(last > 20_000 && last <= 20_500, `${last}`);
  t.equal(most(starts, 1_000 + JITTER_MS), 30);
});

t.test('replies find a gap beside a bulk backlog', async (t) => {
  const pacing = botPacing(rates(30), 64);
  let now = 0;
  const waits: number[] = [];
  for (let reply = 137; reply < 60_000; reply += 613) {
    for (let at = pacing.earliest('bulk', now); at < reply; at = pacing.earliest('bulk', at)) {
      pacing.take('bulk', at);
      pacing.release();
      now = at;
    }
    now = pacing.earliest('reply', Math.max(now, reply));
    waits.push(now - reply);
    pacing.take('reply', now);
    pacing.release();
  }
  waits.sort((a, b) => a - b);
  t.ok((waits[Math.floor(waits.length * 0.99)] ?? 0) <= 160, `p99 ${waits[Math.floor(waits.length * 0.99)]}`);
});

t.test('the rate is never passed in any sliding second, and not missed by much', async (t) => {
  const lane = fc.constantFrom(...LANES);
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 1, max: 200 }), fc.double({ min: 1, max: 60, noNaN: true })),
      fc.array(
        fc.record({
          lane,
          idleMs: fc.oneof(fc.constant(0), fc.nat(1_500)),
          late: fc.double({ min: 0, max: 3, noNaN: true }),
        }),
        {
          minLength: 1,
          maxLength: 400,
        },
      ),
      (perSecond, calls) => {
        const pacing = botPacing(rates(perSecond), 4);
        const starts: number[] = [];
        let bulkAt = Number.NEGATIVE_INFINITY;
        let now = 0;
        for (const call of calls) {
          now = pacing.earliest(call.lane, now + call.idleMs) + call.late;
          pacing.take(call.lane, now);
          pacing.release();
          starts.push(now);
          if (call.lane !== 'bulk') continue;
          if (now - bulkAt < 900 / Math.floor(perSecond) - 1e-6) return false;
          bulkAt = now;
        }
        return most(starts, 1_000) <= perSecond;
      },
    ),
    { numRuns },
  );
  for (const perSecond of [1, 2, 7, 30, 200]) {
    for (const lane of LANES) {
      const starts = run(botPacing(rates(perSecond), 64), lane, 500);
      const last = starts.at(-1) ?? 0;
      t.ok(last <= Math.ceil(500 / perSecond) * 1_025, `${lane} at ${perSecond}: ${last} ms`);
    }
  }
});

t.test('a rate below one a second', async (t) => {
  const starts = run(botPacing(rates(0.5), 64), 'notify', 5);
  t.same(starts, [0, 2_025, 4_050, 6_075, 8_100]);
});

t.test('a lifted rate lifts the spacing; slots still bound', async (t) => {
  const pacing = botPacing(rates(0), 3);
  for (let i = 0; i < 3; i += 1) {
    t.equal(pacing.earliest('bulk', 5), 5);
    pacing.take('bulk', 5);
  }
  t.equal(pacing.inFlight, 3);
  t.equal(pacing.earliest('reply', 5), Number.POSITIVE_INFINITY);
  t.throws(() => pacing.take('reply', 5), { code: 'PH_PACING_EARLY' });
  pacing.release();
  t.equal(pacing.earliest('reply', 5), 5);
  pacing.adopt();
  t.equal(pacing.earliest('reply', 5), Number.POSITIVE_INFINITY, 'a call of an earlier incarnation has a slot');
  for (let i = 0; i < 3; i += 1) pacing.release();
  t.throws(() => pacing.release(), { code: 'PH_PACING_SLOT' });
});

t.test('quiet times and pauses', async (t) => {
  const pacing = botPacing(rates(30), 64);
  pacing.quietUntil(1_050);
  pacing.quietUntil(500);
  t.equal(pacing.earliest('reply', 0), 1_050);
  t.equal(pacing.earliest('reply', 2_000), 2_000);
  t.throws(() => pacing.take('reply', 1_049), { code: 'PH_PACING_EARLY' });
  pacing.pause();
  t.equal(pacing.earliest('reply', 2_000), Number.POSITIVE_INFINITY);
  pacing.resume();
  t.equal(pacing.earliest('reply', 2_000), 2_000);
});

t.test('a change of the rate holds for the sends that were', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 5, 30, 60),
      fc.array(fc.record({ perSecond: fc.constantFrom(0, 1, 5, 15, 30, 60), sends: fc.integer({ min: 1, max: 90 }) }), {
        minLength: 1,
        maxLength: 8,
      }),
      (start, changes) => {
        const pacing = botPacing(rates(start), 4);
        const starts: number[] = run(pacing, 'notify', 7);
        for (const change of changes) {
          pacing.setRate(change.perSecond);
          if (pacing.rate !== change.perSecond) return false;
          for (let i = 0; i < change.sends; i += 1) {
            starts.push(...run(pacing, 'notify', 1, starts.at(-1)));
            const now = starts.at(-1) ?? 0;
            const inSecond = starts.filter((at) => now - at < 1_000).length;
            if (change.perSecond !== 0 && inSecond > change.perSecond) return false;
          }
        }
        return true;
      },
    ),
    { numRuns },
  );
});

t.test('the spacing of a chat', async (t) => {
  t.equal(chatSpacingMs(5, rates(30)), 1_025);
  t.equal(chatSpacingMs(-5, rates(30)), 3_025);
  t.equal(chatSpacingMs(5, { perSecond: 30, perChatSecond: 0, perGroupMinute: 20 }), 0);
  t.equal(chatSpacingMs(-5, { perSecond: 30, perChatSecond: 1, perGroupMinute: 0 }), 0);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 4, perGroupMinute: 0 }), 275);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 0.1, perGroupMinute: 0 }), 10_025);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 2.5, perGroupMinute: 0 }), 525, '2 in any second, never 3');
});
