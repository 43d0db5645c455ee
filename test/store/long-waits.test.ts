import t from 'tap';
import { longWaits } from '../../src/store/long-waits.js';
import { testStores } from '../support/test-store.js';

const stores = await testStores(t);
const NOW = 1_700_000_000_000;

t.test('long waits of bots and chats, as their send owners wrote them', async (t) => {
  const { store } = await stores.fresh(t);
  const owners = store.models.Owners.collection;
  const chats = store.models.Chats.collection;
  await owners.insertMany([
    { bot: '1', part: 'send', waitUntil: NOW + 3_600_000 },
    { bot: '1', part: 'receive' },
    { bot: '2', part: 'send', waitUntil: NOW - 1 },
    { bot: '3', part: 'send', waitUntil: null },
    { bot: '4', part: 'send', waitUntil: NOW + 60_000 },
  ] as never[]);
  const frozen = (bot: string, chatId: number, ms: number) => ({ bot, chatId, frozenUntil: new Date(NOW + ms) });
  await chats.insertMany([
    frozen('1', 1, 20_000),
    frozen('1', 2, 90_000),
    frozen('1', 3, 5_000),
    frozen('3', 1, 11_000),
    frozen('4', 1, 50_000),
    { bot: '2', chatId: 1 },
  ] as never[]);
  t.same(
    await longWaits(store, ['1', '2', '3', '9'], NOW),
    new Map([
      ['1', { chats: 2, until: NOW + 90_000, bot: NOW + 3_600_000 }],
      ['3', { chats: 1, until: NOW + 11_000 }],
    ]),
  );
  t.same(await longWaits(store, [], NOW), new Map());
});
