import t from 'tap';
import { eventually } from '../support/eventually.js';
import type { PosthornApi } from '../support/posthorn-api.js';
import { serverWithSubscribers } from '../support/posthorn-server.js';

const WITHIN_MS = 60_000;

t.setTimeout(240_000);

interface Delivery {
  readonly state: string;
  readonly messageIds?: readonly number[];
}

/** A text of eight parts, each of which begins with its number. */
const long = (name: string): string =>
  Array.from({ length: 8 }, (_, part) => `${name}${part} ${'word '.repeat(500)}`.trim()).join('\n\n');

async function accept(api: PosthornApi, messages: readonly object[]): Promise<string[]> {
  const { status, body } = await api.call('POST', '/api/send_messages', { messages });
  if (status !== 202) throw new Error(`${status} ${JSON.stringify(body)}`);
  return (body as { ids: string[] }).ids;
}

const delivery = async (api: PosthornApi, id: string): Promise<Delivery> =>
  (await api.call('GET', `/api/deliveries/${id}`)).body as Delivery;

t.test('kill -9 between the parts of a long text: it goes on at the next part, in either class', async (t) => {
  const { telegram, start, server, api } = await serverWithSubscribers(t, 2, {});
  const [first = 0, second = 0] = await telegram.people(2);
  const ids = await accept(api, [
    { chatId: first, text: long('a') },
    { chatId: second, text: long('b'), class: 'at-most-once' },
    { chatId: first, text: 'after a' },
    { chatId: second, text: 'after b', lane: 'reply' },
  ]);
  let last = { process: server.process, api };
  for (const parts of [2, 5]) {
    // The next part goes a second after the one before: here nothing is in the air.
    await eventually(`${parts} parts of each`, WITHIN_MS, async () => {
      const shown = await Promise.all(ids.slice(0, 2).map((id) => delivery(last.api, id)));
      return shown.every(({ messageIds = [] }) => messageIds.length >= parts);
    });
    await last.process.end('SIGKILL');
    const next = start();
    last = { process: next.process, api: await next.api };
  }
  const ended = await eventually('all sent', WITHIN_MS, async () => {
    const shown = await Promise.all(ids.map((id) => delivery(last.api, id)));
    return shown.every(({ state }) => state === 'sent') ? shown : undefined;
  });
  for (const [index, [name, person]] of (
    [
      ['a', first],
      ['b', second],
    ] as const
  ).entries()) {
    const seen = (await telegram.messages(telegram.botId, person)).filter(({ from }) => from.id === telegram.botId);
    const texts = seen.map(({ text = '' }) => text.split(' word')[0]);
    const parts = Array.from({ length: 8 }, (_, part) => `${name}${part}`);
    const after = texts.indexOf(`after ${name}`);
    t.same(
      texts.filter((text) => text !== `after ${name}`),
      parts,
      'each part once, in order',
    );
    t.ok(after === 0 || after === 8, `nothing comes between the parts (at ${after})`);
    t.same(
      ended[index]?.messageIds,
      seen.filter(({ text = '' }) => !text.startsWith('after')).map(({ messageId }) => messageId),
    );
  }
});

t.test('a group becomes a supergroup: its messages follow, also to the old id after a restart', async (t) => {
  const { telegram, start, server, api } = await serverWithSubscribers(t, 1, { SEND_GROUP_RATE: '0' });
  const [owner = 0] = await telegram.people(1);
  const group = await telegram.chat('group', 'Old', owner);
  await telegram.join(group, telegram.botId);
  const sent = async (client: PosthornApi, ids: readonly string[]) => {
    await eventually('all sent', WITHIN_MS, async () => {
      const shown = await Promise.all(ids.map((id) => delivery(client, id)));
      return shown.every(({ state }) => state === 'sent');
    });
  };
  await sent(api, await accept(api, [{ chatId: group, text: '#1 before' }]));
  const supergroup = await telegram.upgrade(group);
  await sent(
    api,
    await accept(
      api,
      [2, 3, 4].map((i) => ({ chatId: group, text: `#${i} waiting` })),
    ),
  );
  await server.process.end('SIGKILL');
  const again = start();
  const client = await again.api;
  await sent(
    client,
    await accept(
      client,
      [5, 6].map((i) => ({ chatId: i === 5 ? group : supergroup, text: `#${i} later` })),
    ),
  );
  const seen = (await telegram.messages(supergroup, owner)).flatMap(({ text }) => text ?? []);
  t.same(seen, ['#2 waiting', '#3 waiting', '#4 waiting', '#5 later', '#6 later']);
  const { distinct, duplicates, outOfOrder } = await telegram.stats();
  t.match({ distinct, duplicates, outOfOrder }, { distinct: 6, duplicates: 0, outOfOrder: 0 });
});
