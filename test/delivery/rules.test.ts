import fc from 'fast-check';
import t from 'tap';
import { classCode, classOf, LANES, laneCode, laneOf } from '../../src/delivery/lanes.js';
import {
  BEAT_MS,
  BEGUN_REST_MS,
  COMMIT_STALL_MS,
  DESTROY_AFTER_MS,
  GROUP_QUIET_MS,
  LEASE_MS,
  NO_CALL_AFTER_MS,
  ownerClock,
  QUIET_MS,
  quietMs,
  STANDBY_LOOK_MS,
  standbyClock,
} from '../../src/delivery/lease-clock.js';
import { outage } from '../../src/delivery/outage.js';
import { type Answer, classify, isAlive, type Outcome } from '../../src/delivery/outcome.js';
import { rateThrottle } from '../../src/delivery/rate-throttle.js';
import {
  afterEnd,
  backoffMs,
  beforeCall,
  errorOf,
  MAX_ATTEMPTS,
  REST_AFTER_AMBIGUOUS_MS,
} from '../../src/delivery/retry.js';
import { chatHash, shardOf } from '../../src/delivery/shards.js';

const numRuns = process.env.POSTHORN_TEST_LONG ? 20_000 : 300;

function telegram(code: number, description: string, parameters?: object, retryAfterHeader?: number): Answer {
  return {
    kind: 'answer',
    status: code,
    body: { ok: false, error_code: code, description, ...(parameters === undefined ? {} : { parameters }) },
    ...(retryAfterHeader === undefined ? {} : { retryAfterHeader }),
  };
}

const ok = (result: unknown): Answer => ({ kind: 'answer', status: 200, body: { ok: true, result } });
const raw = (status: number, body: unknown): Answer => ({ kind: 'answer', status, body });

t.test('lanes and classes keep their codes', async (t) => {
  t.same(LANES, ['reply', 'notify', 'bulk']);
  t.same(LANES.map(laneCode), [0, 1, 2]);
  t.same([0, 1, 2].map(laneOf), LANES);
  t.throws(() => laneOf(3), { code: 'PH_LANE_CODE' });
  t.equal(classOf(classCode('at-least-once')), 'at-least-once');
  t.equal(classCode('at-most-once'), 1);
  t.equal(classOf(1), 'at-most-once');
  t.throws(() => classOf(2), { code: 'PH_CLASS_CODE' });
});

t.test('shards: stable, in range, even for the ids that Telegram gives', async (t) => {
  const known = [1, 2, 5_000_000_001, -1_001_234_567_890, Number.MAX_SAFE_INTEGER].map((id) => shardOf(id, 16));
  t.same(known, [12, 3, 3, 0, 9], 'a change of the hash moves chats between the shards of a running fleet');
  for (const first of [1, 1_000_000_000, 7_000_000_000, -1_002_000_000_000]) {
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 8_000; i += 1) counts[shardOf(first + i, 8)] = (counts[shardOf(first + i, 8)] ?? 0) + 1;
    t.ok(Math.min(...counts) > 850 && Math.max(...counts) < 1_150, `${first}: ${counts.join(' ')}`);
  }
  t.not(chatHash(5, 1), chatHash(5, 2));
  t.not(chatHash(1, 1), chatHash(1 + 2 ** 32, 1), 'the high half counts');
});

t.test("outcome: Telegram's words", async (t) => {
  const forbidden: [string, 'blocked' | 'gone'][] = [
    ['bot was blocked by the user', 'blocked'],
    ['user is deactivated', 'gone'],
    ["bot can't initiate conversation with a user", 'blocked'],
    ['bot was kicked from the group chat', 'blocked'],
    ['bot was kicked from the supergroup chat', 'blocked'],
    ['bot was kicked from the channel chat', 'blocked'],
    ['bot is not a member of the supergroup chat', 'blocked'],
    ['the group chat was deleted', 'gone'],
    ['something new', 'blocked'],
  ];
  for (const [words, reach] of forbidden) {
    const description = `Forbidden: ${words}`;
    t.same(classify(telegram(403, description)), { kind: 'blocked', code: 403, description, reach }, words);
  }
  const notFound = 'Bad Request: chat not found';
  t.same(classify(telegram(400, notFound)), { kind: 'blocked', code: 400, description: notFound, reach: 'gone' });

  const rejected = [
    'chat_id is empty',
    'message text is empty',
    'message is too long',
    'message caption is too long',
    'can\'t parse entities: Unsupported start tag "x" at byte offset 0',
    'unsupported parse_mode',
    'message to edit not found',
    "message can't be edited",
    'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
    'message to delete not found',
    "message can't be deleted",
    "message can't be deleted for everyone",
    'query is too old and response timeout expired or query ID is invalid',
    'BUTTON_DATA_INVALID',
    'not enough rights to restrict/unrestrict chat member',
    'user is an administrator of the chat',
    "can't remove chat owner",
    "can't restrict self",
    'member not found',
    'invalid user_id specified',
    'not enough rights to manage chat join requests',
    'USER_ALREADY_PARTICIPANT',
    'HIDE_REQUESTER_MISSING',
    'group chat was upgraded to a supergroup chat',
  ];
  for (const words of rejected) {
    const description = `Bad Request: ${words}`;
    t.same(classify(telegram(400, description)), { kind: 'rejected', code: 400, description }, words);
  }
  const upgraded = 'Bad Request: group chat was upgraded to a supergroup chat';
  const long = classify(telegram(400, 'x'.repeat(1_000_000)));
  t.same(long, { kind: 'rejected', code: 400, description: 'x'.repeat(500) }, 'a line of it is kept');
  t.same(classify(telegram(400, upgraded, { migrate_to_chat_id: -1_001_234_567_890 })), {
    kind: 'migrated',
    toChatId: -1_001_234_567_890,
  });
  t.equal(classify(telegram(400, upgraded, { migrate_to_chat_id: 0 })).kind, 'rejected');
  t.equal(classify(telegram(400, upgraded, { migrate_to_chat_id: 1e300 })).kind, 'rejected');
  for (const [code, description] of [
    [401, 'Unauthorized'],
    [401, 'Unauthorized: invalid token specified'],
    [404, 'Not Found'],
    [404, 'Not Found: method not found'],
  ] as const) {
    t.same(classify(telegram(code, description)), { kind: 'unauthorized', code, description });
  }
  t.equal(classify(telegram(409, 'Conflict: terminated by setWebhook request')).kind, 'rejected');
});

t.test('outcome: 429', async (t) => {
  const words = 'Too Many Requests: retry after 7';
  const limited = (answer: Answer): unknown => classify(answer);
  t.same(limited(telegram(429, words, { retry_after: 7 })), { kind: 'limited', retryAfterMs: 7_000 });
  t.same(limited(telegram(429, words, { retry_after: 7 }, 9)), { kind: 'limited', retryAfterMs: 7_000 });
  t.same(limited(telegram(429, words, {}, 9)), { kind: 'limited', retryAfterMs: 9_000 });
  t.same(limited(telegram(429, words)), { kind: 'limited', retryAfterMs: 1_000 });
  t.same(limited(raw(429, undefined)), { kind: 'limited', retryAfterMs: 1_000 });
  for (const bad of [0, -4, Number.NaN, '3', null]) {
    t.same(limited(telegram(429, words, { retry_after: bad }, 2)), { kind: 'limited', retryAfterMs: 2_000 }, `${bad}`);
  }
  t.same(limited(telegram(429, words, { retry_after: 1e300 })), { kind: 'limited', retryAfterMs: 86_400_000 });
});

t.test('outcome: what is certain and what is not', async (t) => {
  t.same(classify(ok({ message_id: 5, date: 1 })), { kind: 'sent', messageId: 5 });
  t.equal(classify({ kind: 'failure', beforeFirstByte: true, reason: 'ECONNREFUSED' }).kind, 'not-sent');
  t.same(classify({ kind: 'failure', beforeFirstByte: false, reason: 'ECONNRESET' }), {
    kind: 'ambiguous',
    code: 0,
    reason: 'ECONNRESET',
  });
  for (const status of [500, 502, 503, 504, 302, 100, 0, 999, Number.NaN]) {
    t.equal(classify(raw(status, undefined)).kind, 'ambiguous', `${status}`);
  }
  for (const body of [
    undefined,
    null,
    'ok',
    {},
    { ok: true },
    { ok: true, result: {} },
    { ok: true, result: { message_id: '5' } },
    { result: { message_id: 5 } },
    { ok: false },
    { ok: false, error_code: 200 },
  ]) {
    t.equal(classify(raw(200, body)).kind, 'ambiguous', JSON.stringify(body));
  }
  t.equal(
    classify(raw(200, { ok: false, error_code: 403, description: 'Forbidden: bot was blocked by the user' })).kind,
    'blocked',
  );
  // A proxy's words say nothing about the person: neither unreachable nor dead.
  for (const body of [undefined, '<html>', { error: 'denied' }, { ok: false }]) {
    t.equal(classify(raw(403, body)).kind, 'not-sent', `403 ${JSON.stringify(body)}`);
  }
  t.equal(classify(raw(407, undefined)).kind, 'not-sent');
  t.equal(classify(raw(400, undefined)).kind, 'rejected');
  t.equal(classify(raw(413, '<html>')).kind, 'rejected');
  t.equal(classify(raw(401, undefined)).kind, 'unauthorized');
  t.ok(isAlive(ok({ id: 1 })));
  t.notOk(isAlive(raw(200, undefined)) || isAlive(telegram(401, 'Unauthorized')) || isAlive(raw(500, { ok: true })));
});

t.test('outcome: any answer has exactly one class and nothing throws', async (t) => {
  const status = fc.oneof(fc.constantFrom(200, 400, 401, 403, 404, 429, 500), fc.integer(), fc.double());
  const shaped = fc.record(
    {
      ok: fc.oneof(fc.boolean(), fc.anything()),
      error_code: fc.oneof(status, fc.anything()),
      description: fc.oneof(fc.string(), fc.anything()),
      parameters: fc.oneof(fc.record({ retry_after: fc.anything(), migrate_to_chat_id: fc.anything() }), fc.anything()),
      result: fc.oneof(fc.record({ message_id: fc.anything() }), fc.anything()),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      status,
      fc.oneof(shaped, fc.anything()),
      fc.option(fc.double(), { nil: undefined }),
      (code, body, header) => {
        const outcome = classify({
          kind: 'answer',
          status: code,
          body,
          ...(header === undefined ? {} : { retryAfterHeader: header }),
        });
        const described = errorOf(outcome);
        t.type(described.description, 'string');
        switch (outcome.kind) {
          case 'sent':
            return Number.isSafeInteger(outcome.messageId) && code >= 200 && code < 300;
          case 'migrated':
            return Number.isSafeInteger(outcome.toChatId) && outcome.toChatId !== 0;
          case 'limited':
            return (
              Number.isInteger(outcome.retryAfterMs) &&
              outcome.retryAfterMs >= 1_000 &&
              outcome.retryAfterMs <= 86_400_000
            );
          case 'ambiguous':
            // Nothing that Telegram refused may end as ambiguous.
            return (
              Number.isFinite(outcome.code) &&
              !(code >= 400 && code < 500 && (body as { error_code?: unknown } | null)?.error_code === undefined)
            );
          default:
            return true;
        }
      },
    ),
    { numRuns },
  );
});

const NOBODY: Outcome = { kind: 'ambiguous', code: 500, reason: 'status 500' };
const REFUSED: Outcome = { kind: 'unauthorized', code: 401, description: 'Unauthorized' };
const NOT_SENT: Outcome = { kind: 'not-sent', reason: 'ECONNREFUSED' };
const SENT: Outcome = { kind: 'sent', messageId: 1 };

t.test('retry: the table', async (t) => {
  const end = (outcome: Outcome, more: object = {}): unknown =>
    afterEnd({ outcome, klass: 'at-least-once', attempts: 0, othersSucceededSince: true, ...more });
  const most = { klass: 'at-most-once' as const };
  t.match(end(SENT), { kind: 'settle', state: 'sent', messageId: 1 });
  const blocked: Outcome = { kind: 'blocked', code: 403, description: 'Forbidden: x', reach: 'blocked' };
  t.match(end(blocked), { kind: 'settle', state: 'blocked', reach: 'blocked', error: { code: 403 }, restMs: 0 });
  t.match(end({ kind: 'rejected', code: 400, description: 'd' }), {
    kind: 'settle',
    state: 'dead',
    error: { code: 400 },
  });
  t.same(end({ kind: 'migrated', toChatId: -5 }), { kind: 'migrate', toChatId: -5 });
  for (const klass of ['at-least-once', 'at-most-once'] as const) {
    for (const attempts of [0, 2, 9]) {
      const limited: Outcome = { kind: 'limited', retryAfterMs: 7_000 };
      const spare = { kind: 'again', spendAttempt: false, doubt: false };
      t.same(end(limited, { klass, attempts }), { ...spare, restMs: 7_000 }, '429 is free for ever');
      t.match(end(NOT_SENT, { klass, attempts }), spare, 'what never left is free for ever');
    }
    t.match(end(REFUSED, { klass }), { kind: 'again', spendAttempt: true }, 'certainly not sent: again in any class');
    t.match(end(REFUSED, { klass, attempts: 2, othersSucceededSince: false }), {
      kind: 'again',
      spendAttempt: false,
      doubt: true,
    });
  }
  for (const othersSucceededSince of [true, false]) {
    t.same(end(NOBODY, { ...most, othersSucceededSince }), {
      kind: 'settle',
      state: 'unknown',
      error: { code: 500, description: 'status 500' },
      restMs: 2_000,
    });
  }
  t.match(end(NOBODY), { kind: 'again', spendAttempt: true, doubt: false });
  t.match(end(NOBODY, { attempts: 1 }), { kind: 'again', spendAttempt: true });
  t.match(end(NOBODY, { attempts: 2 }), { kind: 'settle', state: 'dead', restMs: 2_000 });
  t.match(end(NOBODY, { attempts: 2, othersSucceededSince: false }), {
    kind: 'again',
    spendAttempt: false,
    doubt: true,
  });
  for (let attempts = 0; attempts < 9; attempts += 1) {
    const again = afterEnd({
      outcome: NOBODY,
      klass: 'at-least-once',
      attempts,
      othersSucceededSince: false,
      random: () => 0.99,
    });
    t.ok(again.kind === 'again' && again.restMs >= 2_000 && again.restMs <= 75_000);
    t.ok(backoffMs(attempts + 1, () => 0) >= backoffMs(attempts, () => 0));
  }
  t.same([MAX_ATTEMPTS, REST_AFTER_AMBIGUOUS_MS], [3, 2_000]);
});

t.test('retry: a doubt is cleared before the next call', async (t) => {
  t.same(beforeCall({ attempts: 0, blame: 'message' }), { kind: 'call', spend: true });
  t.same(beforeCall({ attempts: 1, blame: 'message' }), { kind: 'call', spend: true });
  t.same(beforeCall({ attempts: 2, blame: 'message' }), { kind: 'dead' }, 'the third spent attempt: no fourth call');
  t.same(beforeCall({ attempts: 2, blame: 'bot' }), { kind: 'call', spend: false });
  t.same(beforeCall({ attempts: 2, blame: 'unsure' }), { kind: 'ask' });
});

t.test('outage: 5 in a row over 3 chats pause, probes double to a minute', async (t) => {
  const bot = outage();
  t.same(
    [1, 2, 3, 1].map((chat) => bot.onEnd(chat, NOBODY, 10)),
    ['none', 'none', 'none', 'none'],
  );
  t.equal(bot.onEnd(2, NOT_SENT, 10), 'paused');
  t.match(bot, { paused: true, alert: false, reason: 'ECONNREFUSED' });
  const waits: number[] = [];
  let now = 10;
  for (let i = 0; i < 9; i += 1) {
    waits.push(bot.probeAt() - now);
    now = bot.probeAt();
    bot.probing(now);
    t.equal(bot.probeAt(), Number.POSITIVE_INFINITY, 'one probe at a time');
    t.equal(bot.onProbe(false, now), 'none');
  }
  t.same(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  t.equal(bot.blame(5), 'bot');
  bot.probing(now);
  t.equal(bot.onProbe(true, now + 5), 'resumed');
  t.match(bot, { paused: false, halfOpen: true, reason: undefined });
  t.equal(bot.probeAt(), Number.POSITIVE_INFINITY);
  t.equal(bot.blame(10), 'bot', "an outage that a probe confirmed is not the message's fault");
  t.equal(bot.onEnd(1, NOBODY, now + 6), 'paused', 'half open: one failure is enough');
  t.equal(bot.probeAt(), now + 6 + 60_000, 'and the pauses go on where they were');
  t.equal(bot.onEnd(2, SENT, now + 7), 'resumed', 'a call that was in the air gets through');
  t.match(bot, { paused: false, halfOpen: false });
  t.equal(bot.blame(now + 6), 'message', 'nothing confirmed that outage, and another got through');
  t.equal(bot.onEnd(1, NOBODY, now + 8), 'none');
});

t.test('outage: what resets the count and what does not', async (t) => {
  const answers: Outcome[] = [
    SENT,
    { kind: 'blocked', code: 403, description: '', reach: 'blocked' },
    { kind: 'rejected', code: 400, description: '' },
    { kind: 'migrated', toChatId: -5 },
  ];
  for (const answer of answers) {
    const bot = outage();
    for (let i = 0; i < 20; i += 1) bot.onEnd(i, i % 5 === 4 ? answer : NOBODY, i);
    t.equal(bot.paused, false, answer.kind);
    t.equal(bot.succeededSince(19), true);
  }
  const limited = outage();
  for (let i = 0; i < 9; i += 1) limited.onEnd(i, i % 2 === 0 ? NOBODY : { kind: 'limited', retryAfterMs: 1_000 }, i);
  t.equal(limited.paused, true, '429 is neither');
});

t.test('outage: a refused token is probed each minute and alerts', async (t) => {
  const bot = outage();
  for (let chat = 1; chat <= 5; chat += 1) bot.onEnd(chat, REFUSED, 0);
  t.match(bot, { paused: true, alert: true, reason: 'Unauthorized' });
  t.equal(bot.probeAt(), 60_000);
  bot.probing(60_000);
  bot.onProbe(false, 60_000, true);
  t.equal(bot.probeAt(), 120_000);
  bot.probing(120_000);
  t.equal(bot.onProbe(true, 120_000), 'resumed');
  t.equal(bot.alert, false);
  const other = outage();
  for (let chat = 1; chat <= 5; chat += 1)
    other.onEnd(chat, { kind: 'unauthorized', code: 404, description: 'Not Found' }, 0);
  t.match(other, { paused: true, alert: false });
});

t.test('outage: a bot with one waiting chat asks a getMe', async (t) => {
  const bot = outage();
  for (let i = 0; i < 4; i += 1) bot.onEnd(7, NOT_SENT, i);
  t.equal(bot.probeAt(), Number.POSITIVE_INFINITY);
  t.equal(bot.onEnd(7, NOT_SENT, 4), 'none');
  t.equal(bot.probeAt(), 4);
  bot.probing(5);
  t.equal(bot.onProbe(true, 6), 'none');
  t.equal(bot.paused, false);
  t.equal(bot.blame(5), 'message', 'a getMe that was asked after the failure was answered');
  t.equal(bot.blame(6), 'unsure', 'it was asked before that one');
  bot.wantProbe(7);
  t.equal(bot.probeAt(), 7);
  bot.probing(7);
  t.equal(bot.onProbe(false, 8), 'paused');
  t.equal(bot.probeAt(), 1_008);
  t.equal(bot.blame(6), 'bot');
});

t.test('outage: half open ends after two quiet minutes', async (t) => {
  const bot = outage();
  for (let chat = 1; chat <= 5; chat += 1) bot.onEnd(chat, NOBODY, 0);
  bot.probing(1_000);
  bot.onProbe(true, 1_000);
  t.equal(bot.onEnd(1, NOBODY, 200_000), 'none');
  t.equal(bot.halfOpen, false);
});

t.test('lease: the figures of the protocol', async (t) => {
  t.same([LEASE_MS, BEAT_MS, NO_CALL_AFTER_MS, DESTROY_AFTER_MS], [9_000, 3_000, 6_000, 7_500]);
  t.same([QUIET_MS, GROUP_QUIET_MS, BEGUN_REST_MS], [1_050, 3_050, 5_000]);
  t.same([STANDBY_LOOK_MS, COMMIT_STALL_MS], [1_000, 1_000]);
});

t.test('lease: the owner trusts the faster clock', async (t) => {
  const owner = ownerClock();
  t.equal(owner.mayCall(0, 0), false);
  t.equal(owner.mustDestroy(0, 0), true);
  owner.acknowledged(1_000, 500_000);
  t.equal(owner.mayCall(6_999, 505_999), true);
  t.equal(owner.mayCall(7_000, 505_999), false);
  t.equal(owner.mayCall(1_000, 506_000), false, 'a machine that was suspended');
  t.equal(owner.mayCall(6_000, 1), true, 'a wall clock set back');
  t.equal(owner.mustDestroy(8_499, 507_499), false);
  t.equal(owner.mustDestroy(8_500, 0), true);
  t.equal(owner.mustDestroy(1_000, 507_500), true);
  owner.acknowledged(4_000, 503_000);
  owner.acknowledged(2_000, 501_000);
  t.equal(owner.age(5_000, 504_000), 1_000, 'acknowledgements out of order');
});

t.test('lease: a standby follows only what stood still for 9 s by its own clock', async (t) => {
  const standby = standbyClock();
  t.equal(standby.seen(1, 1, 0, 400), 'wait');
  t.equal(standby.seen(1, 1, 9_000, 9_010), 'wait', 'it may have been written just before the first answer');
  t.equal(standby.seen(1, 1, 9_399), 'wait');
  t.equal(standby.seen(1, 1, 9_400), 'take-over');
  t.equal(standby.seen(1, 2, 9_500), 'wait');
  t.equal(standby.seen(2, 2, 18_400), 'wait', 'another epoch');
  t.equal(standby.seen(2, 2, 27_399), 'wait');
  t.equal(standby.seen(2, 2, 27_400), 'take-over');
});

t.test('lease: whenever a standby takes over, the owner has long stopped', async () => {
  fc.assert(
    fc.property(
      fc.record({
        beats: fc.array(fc.record({ pauseMs: fc.nat(6_000), onWayMs: fc.nat(1_400) }), { minLength: 1, maxLength: 10 }),
        lookMs: fc.integer({ min: 200, max: 1_500 }),
        readMs: fc.nat(800),
        skew: fc.integer({ min: -1e9, max: 1e9 }),
      }),
      ({ beats, lookMs, readMs, skew }) => {
        const owner = ownerClock();
        /** When each beat was applied in the store; the last one's acknowledgement is what the owner counts from. */
        const applied: number[] = [];
        let at = 0;
        for (const beat of beats) {
          owner.acknowledged(at, at);
          applied.push(at + beat.onWayMs);
          at += Math.max(beat.pauseMs, beat.onWayMs);
        }
        const standby = standbyClock();
        for (let asked = 0; asked < 200_000; asked += lookMs) {
          const seen = applied.filter((when) => when <= asked + readMs).length;
          if (standby.seen(1, seen, asked + skew, asked + readMs + skew) === 'wait') continue;
          // The owner may be anywhere in its beats: it is the last beat applied before the look that it lives from.
          const now = asked + readMs;
          return seen < beats.length ? false : owner.mustDestroy(now, now);
        }
        return false;
      },
    ),
    { numRuns },
  );
});

t.test('lease: the quiet time covers the set rates', async (t) => {
  t.same(quietMs({ perSecond: 30, perChatSecond: 1, perGroupMinute: 20 }), { calls: 1_050, groups: 3_050 });
  t.same(quietMs({ perSecond: 0, perChatSecond: 0, perGroupMinute: 0 }), { calls: 1_050, groups: 3_050 });
  t.same(quietMs({ perSecond: 0.5, perChatSecond: 1, perGroupMinute: 20 }), { calls: 2_050, groups: 3_050 });
  t.same(quietMs({ perSecond: 30, perChatSecond: 0.1, perGroupMinute: 2 }), { calls: 10_050, groups: 30_050 });
});

t.test('throttle: several chats halve the rate, silence brings it back', async (t) => {
  const rate = rateThrottle(30, 0);
  t.equal(rate.onLimited(1, 1_000, 100), false);
  t.equal(rate.onLimited(1, 1_000, 200), false, 'one chat, however often');
  t.equal(rate.onLimited(2, 1_000, 300), false);
  t.equal(rate.rateAt(400), 30);
  t.equal(rate.onLimited(3, 1_000, 400), true);
  t.equal(rate.rateAt(400), 15);
  for (let chat = 1; chat < 20; chat += 1) rate.onLimited(chat, 1_000, 500);
  t.equal(rate.rateAt(2_000), 15, 'calls that were under way do not cut again');
  t.equal(rate.nextStepAt(), 5_500);
  t.equal(rate.rateAt(5_499), 15);
  t.equal(rate.rateAt(5_500), 16);
  t.equal(rate.rateAt(8_499), 18);
  t.equal(rate.rateAt(8_500), 19);
  t.equal(rate.rateAt(100_000), 30);
  t.equal(rate.nextStepAt(), Number.POSITIVE_INFINITY);
  t.equal(rate.onLimited(1, 10_001, 200_000), true, 'a long wait does so alone');
  t.equal(rate.rateAt(200_000), 15);
});

t.test('throttle: slow refusals of different chats are no storm', async (t) => {
  const rate = rateThrottle(30, 0);
  for (let chat = 1; chat < 50; chat += 1) t.equal(rate.onLimited(chat, 1_000, chat * 2_501), false);
});

t.test('throttle: long waits of several chats, and nothing that gets through, are a wait of the bot', async (t) => {
  const rate = rateThrottle(30, 0);
  rate.onLimited(1, 3_600_000, 100);
  rate.onLimited(1, 3_600_000, 200);
  rate.onLimited(2, 7_200_000, 300);
  t.equal(rate.waitUntil, Number.NEGATIVE_INFINITY, 'two chats may be two chats');
  rate.onAccepted();
  rate.onLimited(3, 3_600_000, 400);
  rate.onLimited(4, 10_000, 450);
  rate.onLimited(5, 3_000_000, 500);
  t.equal(rate.waitUntil, Number.NEGATIVE_INFINITY, 'short waits do not count, and those before a message got through');
  rate.onLimited(6, 3_600_000, 600);
  t.equal(rate.waitUntil, 3_000_500, 'until the first of them is over');
  rate.onLimited(7, 9_000_000, 700);
  t.equal(rate.waitUntil, 3_000_500, 'a call that was under way changes nothing');
  const cut = rate.rateAt(700);
  t.equal(rate.rateAt(3_000_600), cut, 'it does not grow while it waits');
  t.equal(rate.rateAt(3_005_500), cut + 1);
  rate.onLimited(8, 3_600_000, 3_010_000);
  t.equal(rate.waitUntil, 3_600_400, 'told again after one call');
  const heir = rateThrottle(30, 0, 15);
  heir.wait(60_000);
  t.equal(heir.waitUntil, 60_000);
  t.equal(heir.rateAt(64_999), 15);
  t.equal(heir.rateAt(65_000), 16);
});

t.test('throttle: bounds', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 0.5, 1, 3, 30, 1_000),
      fc.array(fc.record({ gapMs: fc.nat(20_000), chat: fc.integer({ min: 1, max: 9 }), waitMs: fc.nat(20_000) }), {
        maxLength: 60,
      }),
      (base, events) => {
        const rate = rateThrottle(base, 0);
        const ceiling = base === 0 ? 60 : base;
        let now = 0;
        for (const event of events) {
          now += event.gapMs;
          const before = rate.rateAt(now);
          const cut = rate.onLimited(event.chat, event.waitMs, now);
          const after = rate.rateAt(now);
          if (after > ceiling || (after < Math.min(1, ceiling) && !(base === 0 && after === 0))) return false;
          if (cut !== (after !== before) && before > 1) return false;
        }
        return rate.rateAt(now + 10_000_000) === base;
      },
    ),
    { numRuns },
  );
  t.equal(rateThrottle(30, 0, 7).rateAt(0), 7, 'a new owner goes on where the last one was');
});
