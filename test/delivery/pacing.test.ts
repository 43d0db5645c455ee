import fc from 'fast-check';
import t from 'tap';
import { LANES, type Lane } from '../../src/delivery/lanes.js';
import { type BotPacing, botPacing, chatSpacingMs, type Rates } from '../../src/delivery/pacing.js';
import { randomFrom } from '../support/seeded-random.js';

const numRuns = process.env.POSTHORN_TEST_LONG ? 5_000 : 100;

function rates(perSecond: number): Rates {
  return { perSecond, perChatSecond: 1, perGroupMinute: 20 };
}

/** The ways of a call in ms: there, and back. */
interface Way {
  readonly there: number;
  readonly back: number;
}

/** What is wanted of a call: its lane, how long the bot has nothing to send before it, how late its turn comes. */
interface Wanted {
  readonly lane: Lane;
  readonly idleMs?: number;
  readonly lateMs?: number;
}

/** Makes each call as early as the pacing allows, over ways of that length; when they start and when they arrive at Telegram, in the order of their starts. */
function travel(
  pacing: BotPacing,
  calls: readonly Wanted[],
  wayOf: (call: number) => Way,
): { starts: number[]; arrivals: number[] } {
  const starts: number[] = [];
  const arrivals: number[] = [];
  const underWay: { start: number; end: number }[] = [];
  let now = 0;
  const answer = () => {
    const next = underWay.shift();
    if (next === undefined) throw new Error('nothing is under way, and no call may start');
    now = Math.max(now, next.end);
    pacing.answered(next.start, next.end, true);
    pacing.release();
  };
  calls.forEach(({ lane, idleMs = 0, lateMs = 0 }, call) => {
    let at = now + idleMs;
    for (;;) {
      while ((underWay[0]?.end ?? Number.POSITIVE_INFINITY) <= at) answer();
      const earliest = pacing.earliest(lane, at);
      if (earliest <= at) break;
      if (earliest === Number.POSITIVE_INFINITY) {
        answer();
        at = Math.max(at, now);
      } else at = Math.min(earliest + lateMs, Math.max(at, underWay[0]?.end ?? Number.POSITIVE_INFINITY));
    }
    now = at;
    pacing.take(lane, now);
    const { there, back } = wayOf(call);
    starts.push(now);
    arrivals.push(now + there);
    underWay.push({ start: now, end: now + there + back });
    underWay.sort((one, other) => one.end - other.end);
  });
  while (underWay.length > 0) answer();
  return { starts, arrivals };
}

/** Sends `count` calls of a lane as early as allowed, each answered at once; the starts. */
function run(pacing: BotPacing, lane: Lane, count: number, from = 0): number[] {
  const starts: number[] = [];
  let now = from;
  for (let i = 0; i < count; i += 1) {
    now = pacing.earliest(lane, now);
    pacing.take(lane, now);
    pacing.answered(now, now, true);
    pacing.release();
    starts.push(now);
  }
  return starts;
}

const several = (count: number, lane: Lane): Wanted[] => Array.from({ length: count }, () => ({ lane }));

/** The largest number of these times in any half-open window of that length. */
function most(times: readonly number[], windowMs: number): number {
  const starts = times.toSorted((a, b) => a - b);
  let first = 0;
  let best = 0;
  starts.forEach((at, i) => {
    while (at - (starts[first] ?? 0) >= windowMs) first += 1;
    best = Math.max(best, i - first + 1);
  });
  return best;
}

t.test('600 bulk messages at 30 a second take 20 s, evenly spread', async (t) => {
  const { starts } = travel(botPacing(rates(30), 64), several(600, 'bulk'), () => ({ there: 0, back: 20 }));
  const last = starts.at(-1) ?? 0;
  t.ok(last > 19_900 && last <= 20_150, `${last}`);
  t.equal(most(starts, 1_000), 30);
  t.equal(most(starts.slice(4), 99), 3, 'no burst but the first four');
});

t.test('however long the ways are, the rate is kept, and jitter costs what it takes', async (t) => {
  for (const back of [1, 60, 300, 900]) {
    const { starts } = travel(botPacing(rates(30), 64), several(900, 'bulk'), () => ({ there: 5, back }));
    const settled = (starts.at(-1) ?? 0) - (starts[299] ?? 0);
    t.ok(settled <= 20_000 * 1.01, `back in ${back}: ${settled}`);
  }
  const jittered = travel(botPacing(rates(30), 64), several(900, 'bulk'), (call) => ({
    there: (call * 7) % 21,
    back: 20,
  }));
  t.ok((jittered.starts.at(-1) ?? 0) <= 30_000 * 1.03, `${jittered.starts.at(-1)}`);
});

t.test('a call that hangs takes one place of the rate until it ends', async (t) => {
  const calls = several(600, 'notify');
  const { starts } = travel(botPacing(rates(30), 64), calls, (call) => ({ there: 1, back: call === 100 ? 12_000 : 9 }));
  const within = starts.filter((at) => at >= 5_000 && at < 15_000).length;
  t.ok(within >= 29 * 9.7 && within <= 29 * 10 + 1, `${within} in ten seconds`);
});

t.test('replies find a gap beside a bulk backlog', async (t) => {
  const pacing = botPacing(rates(30), 64);
  let now = 0;
  const waits: number[] = [];
  for (let reply = 137; reply < 60_000; reply += 613) {
    for (let at = pacing.earliest('bulk', now); at < reply; at = pacing.earliest('bulk', at)) {
      pacing.take('bulk', at);
      pacing.answered(at, at, true);
      pacing.release();
      now = at;
    }
    now = pacing.earliest('reply', Math.max(now, reply));
    waits.push(now - reply);
    pacing.take('reply', now);
    pacing.answered(now, now, true);
    pacing.release();
  }
  waits.sort((a, b) => a - b);
  t.ok((waits[Math.floor(waits.length * 0.99)] ?? 0) <= 80, `p99 ${waits[Math.floor(waits.length * 0.99)]}`);
});

t.test('the rate is never passed in any sliding second at Telegram, and not missed by much', async (t) => {
  const oneOf = fc.constantFrom(...LANES);
  const stall = (most: number) => fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat(most));
  const call = fc.record({
    lane: oneOf,
    idleMs: stall(1_500),
    lateMs: fc.double({ min: 0, max: 3, noNaN: true }),
    there: fc.oneof(fc.double({ min: 0, max: 30, noNaN: true }), stall(800)),
    back: fc.oneof(fc.double({ min: 0, max: 30, noNaN: true }), stall(800)),
  });
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 1, max: 200 }), fc.double({ min: 1, max: 60, noNaN: true })),
      fc.record({ there: fc.nat(60), back: fc.nat(60) }),
      fc.array(call, { minLength: 1, maxLength: 400 }),
      (perSecond, shortest, calls) => {
        const pacing = botPacing(rates(perSecond), 1_000);
        // Each 20th call meets the shortest way: what the pacing knows of it is right then.
        const { arrivals } = travel(pacing, calls, (at) => ({
          there: shortest.there + (at % 20 === 0 ? 0 : (calls[at]?.there ?? 0)),
          back: shortest.back + (at % 20 === 0 ? 0 : (calls[at]?.back ?? 0)),
        }));
        return most(arrivals, 1_000) <= perSecond;
      },
    ),
    { numRuns },
  );
  for (const perSecond of [1, 2, 7, 30, 200]) {
    for (const lane of LANES) {
      const starts = run(botPacing(rates(perSecond), 64), lane, 500);
      const last = starts.at(-1) ?? 0;
      t.ok(last <= Math.ceil(500 / perSecond) * 1_005, `${lane} at ${perSecond}: ${last} ms`);
    }
  }
});

t.test('the shortest way is believed once enough answers have shown both of its halves short', async (t) => {
  const closest = { ms: Number.POSITIVE_INFINITY, seed: 0 };
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = randomFrom(seed);
    const calls = Array.from({ length: 1_000 }, () => ({ lane: 'notify' as const }));
    const wayOf = () => ({ there: 1 + random.next() * 60, back: 1 + random.next() * 60 });
    const { arrivals } = travel(botPacing(rates(3), 64), calls, wayOf);
    const sorted = arrivals.toSorted((a, b) => a - b);
    sorted.slice(3).forEach((at, index) => {
      const ms = at - (sorted[index] ?? 0);
      if (ms < closest.ms) Object.assign(closest, { ms, seed });
    });
  }
  t.ok(closest.ms >= 1_000, `4 calls arrived within ${closest.ms.toFixed(1)} ms (seed ${closest.seed})`);
});

t.test('bulk calls whose turns come late make up for it, by three at most', async (t) => {
  const late = (lateMs: number) =>
    travel(
      botPacing(rates(30), 64),
      several(600, 'bulk').map((call) => ({ ...call, lateMs })),
      () => ({ there: 0, back: 5 }),
    ).starts;
  t.ok((late(12).at(-1) ?? 0) <= 20_000 * 1.03, `${late(12).at(-1)}`);
  const pacing = botPacing(rates(30), 64);
  run(pacing, 'bulk', 5);
  const burst = run(pacing, 'bulk', 8, 10_000).filter((at) => at === 10_000);
  t.ok(burst.length <= 4, `${burst.length} at once after ten seconds of nothing`);
});

t.test('a rate below one a second', async (t) => {
  const starts = run(botPacing(rates(0.5), 64), 'notify', 5);
  t.same(starts, [0, 2_005, 4_010, 6_015, 8_020]);
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
  for (let i = 0; i < 2; i += 1) pacing.release();
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
  t.equal(chatSpacingMs(5, rates(30)), 1_005);
  t.equal(chatSpacingMs(-5, rates(30)), 3_005);
  t.equal(chatSpacingMs(5, { perSecond: 30, perChatSecond: 0, perGroupMinute: 20 }), 0);
  t.equal(chatSpacingMs(-5, { perSecond: 30, perChatSecond: 1, perGroupMinute: 0 }), 0);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 4, perGroupMinute: 0 }), 255);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 0.1, perGroupMinute: 0 }), 10_005);
  t.equal(chatSpacingMs(5, { perSecond: 0, perChatSecond: 2.5, perGroupMinute: 0 }), 505, '2 in any second, never 3');
});
