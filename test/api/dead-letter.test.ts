import t from 'tap';
import {
  dropDeadLetter,
  dropDeadLetters,
  getDeadLetter,
  listDeadLetters,
  replayDeadLetters,
} from '../../src/api/dead-letter.js';
import { problemOf } from '../../src/api/problem.js';
import type { Services } from '../../src/api/services.js';
import type { DeadLetterView } from '../../src/store/dead-letters.js';
import { deadLetterView, deliveryView, fakeServices } from '../support/fake-services.js';

/** The Problem of a refused operation as `code`, and its fields as `field: expected`; nothing may have been moved. */
async function refused(work: (services: Services) => Promise<unknown>, letters: readonly DeadLetterView[] = []) {
  const { services, calls } = fakeServices();
  const deadLetters = {
    ...services.deadLetters,
    look: async () => new Map(letters.map((letter) => [letter.id, letter])),
  };
  const problem = await work({ ...services, deadLetters }).then(
    () => undefined,
    (error: unknown) => problemOf(error),
  );
  if (calls.some(({ name }) => name === 'replay' || name === 'drop'))
    throw new Error('a refused request moved letters');
  const fields = (problem?.errors ?? []).map(({ field, expected }) => `${field}: ${expected}`);
  return { status: problem?.status, code: problem?.code, fields };
}

t.test('what is asked for reaches the store', async (t) => {
  const { services, calls } = fakeServices();
  t.match(await listDeadLetters(services, 'deliveries', {}), { items: [{ id: '1-1-0' }] });
  t.same(calls.at(-1)?.args, ['deliveries', { state: 'waiting', limit: 100 }]);
  const cursor = 'mk2x-0123456789abcdef01234567';
  const query = { botId: '2', reason: 'parse', since: '2026-01-31', state: 'replayed', limit: '5', cursor };
  await listDeadLetters(services, 'updates', query);
  t.same(calls.at(-1)?.args, [
    'updates',
    { bot: '2', reason: 'parse', since: new Date('2026-01-31T00:00:00Z'), state: 'replayed', limit: 5, cursor },
  ]);
  t.match(await getDeadLetter(services, 'deliveries', '1-1-0'), { message: { text: 'a' } });
  t.same(await replayDeadLetters(services, 'deliveries', { ids: ['1-1-0', '1-1-0'] }), { replayed: 1 });
  t.same(calls.at(-1)?.args, ['deliveries', ['1-1-0']], 'each id once');
  await replayDeadLetters(services, 'deliveries', { all: true });
  t.same(calls.at(-1)?.args, ['deliveries', {}]);
  await replayDeadLetters(services, 'jobs', { filter: { botId: '1', since: '2026-01-31T12:00:00+01:00' } });
  t.same(calls.at(-1)?.args, ['jobs', { bot: '1', since: new Date('2026-01-31T11:00:00Z') }]);
  t.same(await dropDeadLetters(services, 'deliveries', { filter: { reason: 'x' } }), { dropped: 1 });
  t.same(calls.at(-1), { name: 'drop', args: ['deliveries', { reason: 'x' }] });
  t.match(await dropDeadLetter(services, 'deliveries', '1-1-0'), { id: '1-1-0' });
});

t.test('wrong input is refused with the field and what was expected', async (t) => {
  const replay = async (body: unknown) =>
    (await refused((services) => replayDeadLetters(services, 'deliveries', body))).fields;
  const ONE = ': one of ids, filter and all';
  t.same(await replay(undefined), [': an object with ids, filter or all']);
  t.same(await replay({}), [ONE]);
  t.same(await replay({ ids: ['1-1-0'], all: true }), [ONE]);
  t.same(await replay({ all: false }), ['all: true']);
  t.same(await replay({ ids: [] }), ['ids: 1–1,000 ids of dead letters']);
  t.same(await replay({ ids: Array(1_001).fill('1-1-0') }), ['ids: 1–1,000 ids of dead letters']);
  t.same(await replay({ ids: ['1-1-0', 5] }), ['ids[1]: the id of a dead letter']);
  t.same(await replay({ filter: {} }), ['filter: at least one of botId, reason and since'], 'all is said by all');
  t.same(await replay({ filter: { state: 'dropped' } }), [
    'filter.state: no such field',
    'filter: at least one of botId, reason and since',
  ]);
  t.match(await replay({ filter: { since: 'yesterday' } }), [/^filter\.since: a time in ISO 8601/]);
  t.match(await replay({ filter: { since: '2026-02-31T99:00:00Z' } }), [/^filter\.since: a time/]);
  t.same(await replay({ every: true }), ['every: no such field', ONE]);
  const list = async (query: object) =>
    (await refused((services) => listDeadLetters(services, 'updates', query))).fields;
  t.same(await list({ state: 'dead' }), ['state: waiting, replayed or dropped']);
  t.same(await list({ cursor: '1-2-3' }), ['cursor: a cursor that a list answered as next']);
  t.same(await list({ limit: '0' }), ['limit: an integer from 1 to 1000']);
  t.same(await list({ chat: '1' }), ['chat: no such field']);
  const queue = { status: 404, code: 'PH_QUEUE_NOT_FOUND', fields: [] };
  t.same(await refused((services) => listDeadLetters(services, 'mail', {})), queue);
  t.same(await refused((services) => replayDeadLetters(services, 'mail', { all: true })), queue);
  t.same(await refused((services) => dropDeadLetter(services, 'mail', '1')), queue);
});

t.test('what cannot be replayed or dropped is refused, and nothing else of the request happens', async (t) => {
  const waits = deadLetterView({ id: '1-2-0' });
  const ids =
    (...given: string[]) =>
    (services: Services) =>
      replayDeadLetters(services, 'deliveries', { ids: given });
  t.same(await refused(ids('1-2-0', '1-9-9'), [waits]), {
    status: 404,
    code: 'PH_DEAD_LETTER_NOT_FOUND',
    fields: ['ids[1]: the id of a dead letter'],
  });
  t.same(await refused(ids('1-1-0'), [waits]), {
    status: 409,
    code: 'PH_DELIVERY_NOT_DEAD',
    fields: ['ids[0]: a delivery that died; this one is sent'],
  });
  const endedAt = '2026-01-02T00:00:00.000Z';
  const replayed = deadLetterView({ id: '1-3-0', state: 'replayed', replayedAs: '1-9-0', endedAt });
  const dropped = deadLetterView({ id: '1-4-0', state: 'dropped', endedAt });
  t.same(await refused(ids('1-2-0', '1-3-0', '1-4-0'), [waits, replayed, dropped]), {
    status: 409,
    code: 'PH_DEAD_LETTER_NOT_WAITING',
    fields: [
      `ids[1]: a dead letter that waits; this one was replayed as 1-9-0 at ${endedAt}`,
      `ids[2]: a dead letter that waits; this one was dropped at ${endedAt}`,
    ],
  });
  const begun = deadLetterView({ id: '1-5-0', replaying: true });
  const drop = (id: string) => (services: Services) => dropDeadLetter(services, 'deliveries', id);
  t.match(await refused(drop('1-5-0'), [begun]), { status: 409, code: 'PH_DEAD_LETTER_REPLAYING' });
  t.match(await refused(drop('1-3-0'), [replayed]), { status: 409, code: 'PH_DEAD_LETTER_NOT_WAITING' });
  t.match(await refused((services) => getDeadLetter(services, 'deliveries', '1-9-9')), {
    status: 404,
    code: 'PH_DEAD_LETTER_NOT_FOUND',
  });
});

t.test('a delivery that was sent after all', async (t) => {
  const { services } = fakeServices({ findDelivery: async () => deliveryView({}) });
  const deadLetters = { ...services.deadLetters, replay: async () => ({ replayed: 2, refused: ['1-1-0'] }) };
  const late = { ...services, deadLetters };
  t.same(await replayDeadLetters(late, 'deliveries', { all: true }), { replayed: 2, refused: ['1-1-0'] });
  await t.rejects(replayDeadLetters(late, 'deliveries', { ids: ['1-1-0'] }), {
    code: 'PH_DELIVERY_NOT_DEAD',
    errors: [{ field: 'ids[0]' }],
  });
});
