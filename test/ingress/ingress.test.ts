import fc from 'fast-check';
import t from 'tap';
import { backToBack } from '../../src/ingress/back-to-back.js';
import { pollEnd, updatesOf } from '../../src/ingress/poll-answer.js';
import { afterCrash, afterFailure, MAX_TRIES, pauseMs } from '../../src/ingress/tries.js';
import { turns } from '../../src/ingress/turns.js';
import { ALLOWED_UPDATES, factsOf } from '../../src/ingress/update-facts.js';

const RUNS = process.env.POSTHORN_TEST_LONG === undefined ? 150 : 5_000;

interface Plan {
  readonly chat: number;
  readonly fails: number;
  readonly takesMs: number;
  readonly alone: boolean;
}

/** Runs a plan on a virtual clock: checks every beginning against a model, and answers what happened to each update. */
function play(plan: readonly Plan[], parallel: number) {
  const order = turns(parallel);
  const waiting = new Map<number, number[]>();
  const tries = plan.map(() => 0);
  const state = plan.map(() => 'waiting');
  const begunAt: number[][] = plan.map(() => []);
  const underWay = new Map<number, number>(); // update → its end
  const restUntil = new Map<number, number>();
  plan.forEach(({ chat, alone }, updateId) => {
    if (!order.offer({ updateId, chat, tries: 0, alone })) throw new Error('refused');
    if (order.offer({ updateId, chat, tries: 0, alone })) throw new Error('taken twice');
    waiting.set(chat, [...(waiting.get(chat) ?? []), updateId]);
  });
  const chatOf = (id: number) => plan[id]?.chat ?? 0;
  let now = 0;
  for (let turn = 0; order.size > 0; turn += 1) {
    if (turn > plan.length * 20) throw new Error('it does not end');
    for (let begun = order.begin(now); begun !== undefined; begun = order.begin(now)) {
      const { updateId, chat } = begun;
      if (waiting.get(chat)?.[0] !== updateId) throw new Error(`${updateId} overtook in chat ${chat}`);
      if ([...underWay.keys()].some((other) => chatOf(other) === chat)) throw new Error(`two of chat ${chat} at once`);
      if ((restUntil.get(chat) ?? 0) > now) throw new Error(`chat ${chat} was resting`);
      if (begun.tries !== tries[updateId]) throw new Error('tries are not kept');
      underWay.set(updateId, now + (plan[updateId]?.takesMs ?? 0));
      if (underWay.size > parallel) throw new Error('too many at once');
      if (underWay.size > 1 && [...underWay.keys()].some((id) => plan[id]?.alone))
        throw new Error('a suspect was not alone');
      state[updateId] = 'begun';
      begunAt[updateId]?.push(now);
    }
    const idle = [...waiting].filter(
      ([chat, queue]) =>
        queue.length > 0 &&
        (restUntil.get(chat) ?? 0) <= now &&
        ![...underWay.keys()].some((id) => chatOf(id) === chat),
    );
    const suspects = [...underWay.keys(), ...idle.map(([, queue]) => queue[0] ?? -1)].some((id) => plan[id]?.alone);
    if (idle.length > 0 && underWay.size < parallel && !suspects)
      throw new Error(`chat ${idle[0]?.[0]} is held up by others`);
    if (underWay.size === 0 && idle.length > 0) throw new Error('nothing is begun although something may');
    now = Math.min(order.earliest() > now ? order.earliest() : Infinity, ...underWay.values());
    for (const [id, end] of underWay) {
      if (end > now) continue;
      underWay.delete(id);
      const chat = chatOf(id);
      tries[id] = (tries[id] ?? 0) + 1;
      const failed = (tries[id] ?? 0) <= (plan[id]?.fails ?? 0);
      const verdict = failed ? afterFailure(tries[id] ?? 0) : undefined;
      if (verdict?.kind === 'again') {
        restUntil.set(chat, now + verdict.delayMs);
        order.again(id, tries[id] ?? 0, now + verdict.delayMs);
      } else {
        state[id] = failed ? 'dead' : 'settled';
        waiting.get(chat)?.shift();
        order.end(id);
      }
    }
  }
  return { state, tries, begunAt, now };
}

t.test('turns', async (t) => {
  t.test('property: order in a chat, never two at once, three tries then dead, nobody held up, all end', async () => {
    const one = fc.record({
      chat: fc.integer({ min: -3, max: 5 }),
      fails: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) },
      ),
      takesMs: fc.integer({ min: 0, max: 500 }),
      alone: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), fc.integer({ min: 1, max: 6 }), (plan, parallel) => {
        const { state, tries } = play(plan, parallel);
        plan.forEach(({ fails }, id) => {
          const dead = fails >= MAX_TRIES;
          if (state[id] !== (dead ? 'dead' : 'settled')) throw new Error(`${id} ended ${state[id]}`);
          if (tries[id] !== (dead ? MAX_TRIES : fails + 1)) throw new Error(`${id} had ${tries[id]} tries`);
        });
      }),
      { numRuns: RUNS },
    );
  });

  t.test('a failing update rests 1 s, then 2 s; its chat waits for it, others do not', async (t) => {
    const plan = [
      { chat: 1, fails: 3, takesMs: 10, alone: false },
      { chat: 1, fails: 0, takesMs: 10, alone: false },
      { chat: 2, fails: 0, takesMs: 10, alone: false },
    ];
    const { begunAt, state } = play(plan, 4);
    t.same(begunAt, [[0, 1_010, 3_020], [3_030], [0]]);
    t.same(state, ['dead', 'settled', 'settled']);
  });

  t.test('ending what was not begun is a bug that is named', async (t) => {
    const order = turns(1);
    order.offer({ updateId: 1, chat: 1, tries: 0, alone: false });
    t.throws(() => order.end(1), { code: 'PH_INGRESS_TURN' });
    t.throws(() => order.again(2, 1, 0), { code: 'PH_INGRESS_TURN' });
    t.same([order.size, order.underWay(), order.earliest()], [1, [], Infinity]);
  });
});

t.test('tries, crashes and pauses', async (t) => {
  t.same([1, 2, 3, 4].map(afterFailure), [
    { kind: 'again', delayMs: 1_000 },
    { kind: 'again', delayMs: 2_000 },
    { kind: 'dead' },
    { kind: 'dead' },
  ]);
  t.same([1, 2, 3].map(afterCrash), ['queued', 'queued', 'dead']);
  t.same(
    [1, 2, 3, 6, 50].map((attempt) => pauseMs(attempt, 0.5)),
    [1_000, 2_000, 4_000, 30_000, 30_000],
  );
  t.same([pauseMs(1, 0), Math.round(pauseMs(1, 0.999_999))], [800, 1_200]);
});

t.test('ends of a poll', async (t) => {
  const answer = (status: number, body: unknown, retryAfterHeader?: number) =>
    pollEnd({ kind: 'answer', status, body, ...(retryAfterHeader === undefined ? {} : { retryAfterHeader }) });
  const refusal = (error_code: number, description: string, parameters?: object) =>
    answer(error_code, { ok: false, error_code, description, ...(parameters === undefined ? {} : { parameters }) });
  t.same(answer(200, { ok: true, result: [1] }), { kind: 'ok', result: [1] });
  t.match(refusal(401, 'Unauthorized'), { kind: 'unauthorized', description: 'Unauthorized' });
  t.match(refusal(404, 'Not Found'), { kind: 'unauthorized' });
  t.match(answer(404, '<html>'), { kind: 'failed' }, 'a page of a proxy says nothing about the token');
  t.match(
    refusal(409, 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running'),
    {
      kind: 'conflict',
      webhook: false,
    },
  );
  t.match(
    refusal(
      409,
      "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    ),
    { kind: 'conflict', webhook: true },
  );
  t.same(refusal(429, 'Too Many Requests: retry after 7', { retry_after: 7 }), {
    kind: 'limited',
    retryAfterMs: 7_000,
  });
  t.same(answer(429, undefined, 3), { kind: 'limited', retryAfterMs: 3_000 });
  t.same(answer(429, { parameters: { retry_after: 'soon' } }), { kind: 'limited', retryAfterMs: 1_000 });
  t.match(answer(502, undefined), { kind: 'failed', reason: 'status 502' });
  t.match(answer(200, { ok: false }), { kind: 'failed' });
  t.same(pollEnd({ kind: 'failure', beforeFirstByte: true, reason: 'ECONNREFUSED' }), {
    kind: 'failed',
    reason: 'ECONNREFUSED',
  });
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 599 }), fc.anything(), (status, body) => {
      pollEnd({ kind: 'answer', status, body });
      updatesOf(body);
    }),
    { numRuns: RUNS },
  );
  t.same(updatesOf([{ update_id: 3 }, { update_id: 1 }, { update_id: 3 }, { update_id: 'x' }, null, 7]), {
    updates: [{ update_id: 1 }, { update_id: 3 }],
    malformed: 3,
  });
  t.same(updatesOf({}), { updates: [], malformed: 1 }, 'no list at all');
});

t.test('facts of updates', async (t) => {
  const person = { id: 7, is_bot: false, first_name: 'Ada', language_code: 'en' };
  const chat = { id: 7, type: 'private', first_name: 'Ada', username: 'ada' };
  const group = { id: -5, type: 'supergroup', title: 'g' };
  const profile = { firstName: 'Ada', username: 'ada', languageCode: 'en' };
  t.same(factsOf({ update_id: 1, message: { from: person, chat, text: 'x' } }), {
    orderKey: 7,
    chat: { chatId: 7, type: 'private', reach: 'ok', profile },
  });
  t.same(factsOf({ update_id: 1, message: { from: person, chat: group } }), {
    orderKey: -5,
    chat: { chatId: -5, type: 'supergroup', reach: 'ok' },
  });
  t.match(factsOf({ update_id: 1, callback_query: { from: person, message: { chat } } }), {
    orderKey: 7,
    chat: { chatId: 7 },
  });
  const moved = (id: number, more: object) =>
    factsOf({ update_id: 1, message: { chat: { ...group, id }, ...more } }).moved;
  t.same(moved(-5, { migrate_to_chat_id: -1_001 }), { chatId: -5, to: -1_001 });
  t.same(moved(-1_001, { migrate_from_chat_id: -5 }), { chatId: -5, to: -1_001 }, 'told in either chat');
  t.equal(moved(-5, { migrate_to_chat_id: 'x' }), undefined);
  const member = (status: string, more: object = {}) =>
    factsOf({ update_id: 1, my_chat_member: { chat, from: person, new_chat_member: { status, ...more } } }).chat?.reach;
  t.same(
    ['kicked', 'left', 'member', 'administrator'].map((status) => member(status)),
    ['blocked', 'blocked', 'ok', 'ok'],
  );
  t.same([member('restricted', { is_member: false }), member('restricted', { is_member: true })], ['blocked', 'ok']);
  t.equal(
    factsOf({ update_id: 1, chat_member: { chat: group, from: person, new_chat_member: { status: 'left' } } }).chat
      ?.reach,
    'ok',
    'somebody else left',
  );
  t.same(factsOf({ update_id: 1, inline_query: { from: person, query: 'q' } }), { orderKey: 7 });
  t.same(factsOf({ update_id: 1, business_message: { chat, from: person } }), { orderKey: 7 }, 'not a chat of the bot');
  t.same(factsOf({ update_id: 1, poll_answer: { user: person } }), { orderKey: 7 });
  t.same(factsOf({ update_id: 1, poll_answer: { voter_chat: { id: -9 } } }), { orderKey: -9 });
  t.same(factsOf({ update_id: 1, chat_boost: { chat: group, boost: { source: { user: person } } } }).orderKey, -5);
  t.same(factsOf({ update_id: 1, poll: { id: 'p' } }), { orderKey: 0 });
  t.ok(ALLOWED_UPDATES.includes('chat_member') && ALLOWED_UPDATES.includes('my_chat_member'));
  fc.assert(
    fc.property(
      fc.constantFrom(...ALLOWED_UPDATES),
      fc.object({ key: fc.constantFrom('chat', 'from', 'message', 'id', 'type', 'user') }),
      (kind, body) => Number.isSafeInteger(factsOf({ update_id: 1, [kind]: body }).orderKey),
    ),
    { numRuns: RUNS },
  );
});

t.test('writes back to back share commits and keep their own results', async (t) => {
  const commits: number[][] = [];
  let release = () => {};
  const write = backToBack<number, number>(async (items) => {
    commits.push([...items]);
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    if (items.includes(13)) throw new Error('refused');
    return items.map((item) => item * 2);
  }, 3);
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  const first = [write(1), write(2)];
  await turn();
  const later = [3, 4, 5, 13].map(write);
  const ends = Promise.allSettled([...first, ...later]);
  for (let i = 0; i < 3; i += 1) {
    release();
    await turn();
  }
  t.same(commits, [[1, 2], [3, 4, 5], [13]]);
  t.match(await ends, [{ value: 2 }, { value: 4 }, { value: 6 }, { value: 8 }, { value: 10 }, { status: 'rejected' }]);
  const again = write(6);
  await turn();
  release();
  t.equal(await again, 12, 'goes on after a refusal');
});
