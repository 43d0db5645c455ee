import t from 'tap';
import { Pool } from 'undici';
import { host, json } from './telegram-host.js';

interface Made {
  readonly id: number;
  readonly token: string;
}
interface Seen {
  readonly messageId: number;
  readonly text?: string;
}

const ROUNDS = process.env.POSTHORN_TEST_LONG === undefined ? 3 : 15;
const GROUPS = 6;

/** A message as it must be found: with one of these texts, or gone. What was asked for and not answered may have happened or not. */
interface Expected {
  readonly chat: number;
  readonly id: number;
  texts: (string | undefined)[];
}

t.test('chats, members, edits and deletions that were answered survive kill -9', async (t) => {
  const dataDir = t.testdir();
  const expected: Expected[] = [];
  const statuses = new Map<string, string[]>();
  let bot: Made | undefined;
  let people: number[] = [];
  const chats: number[] = [];
  let number = 0;
  for (let round = 0; round <= ROUNDS; round += 1) {
    const { url, end } = await host(t, dataDir);
    const pool = new Pool(url, { connections: 8 });
    bot ??= (await json<Made[]>(pool, 'GET', '/local/bots'))[0];
    const { id: botId = 0, token = '' } = bot ?? {};
    const call = async <T>(method: string, args: object): Promise<T> =>
      (await json<{ result: T }>(pool, 'POST', `/bot${token}/${method}?${new URLSearchParams({ ...args })}`)).result;
    if (people.length === 0) {
      await json(pool, 'PUT', '/local/faults', { limits: 'off' });
      ({ ids: people } = await json<{ ids: number[] }>(pool, 'POST', '/local/people', { count: 50 }));
      for (let i = 0; i < GROUPS; i += 1) {
        const type = ['supergroup', 'group', 'channel'][i % 3];
        const made = await json<Made>(pool, 'POST', '/local/chats', { type, title: `${i}`, ownerId: people[0] });
        await json(pool, 'PUT', `/local/chats/${made.id}/members/${botId}`, { status: 'administrator' });
        chats.push(made.id);
      }
    }

    const seen = new Map<number, Map<number, string | undefined>>();
    for (const chat of chats) {
      const found = new Map<number, string | undefined>();
      // The newest hundred are shown at once; what was written before has been looked at before.
      for (const { messageId, text } of await json<Seen[]>(
        pool,
        'GET',
        `/local/messages?chat=${chat}&user=${people[0]}`,
      ))
        found.set(messageId, text);
      seen.set(chat, found);
    }
    const wrong = expected
      .filter(({ chat, id }) => id >= Math.min(...(seen.get(chat)?.keys() ?? [0])))
      .filter(({ chat, id, texts }) => !texts.includes(seen.get(chat)?.get(id)));
    t.same(wrong, [], 'messages are as they were last answered to be');
    for (const [key, allowed] of statuses) {
      const [chat = '', user = ''] = key.split('/');
      const { status } = await call<{ status: string }>('getChatMember', { chat_id: chat, user_id: user });
      if (!allowed.includes(status)) t.fail(`${key} is ${status}, not ${allowed.join(' or ')}`);
    }
    if (round === ROUNDS) {
      await pool.close();
      await end('SIGTERM');
      break;
    }

    let left = 60 + Math.floor(Math.random() * 100);
    let killed: Promise<void> | undefined;
    const answered = (): void => {
      left -= 1;
      if (left <= 0) killed ??= end('SIGKILL');
    };
    const worker = async (): Promise<void> => {
      for (;;) {
        number += 1;
        const mine = number;
        const chat = chats[mine % GROUPS] ?? 0;
        try {
          const sent = await call<{ message_id: number }>('sendMessage', { chat_id: chat, text: `text ${mine}` });
          const entry: Expected = { chat, id: sent.message_id, texts: [`text ${mine}`] };
          expected.push(entry);
          answered();
          if (mine % 2 === 0) {
            entry.texts.push(`edited ${mine}`);
            await call('editMessageText', { chat_id: chat, message_id: entry.id, text: `edited ${mine}` });
            entry.texts = [`edited ${mine}`];
          }
          if (mine % 3 === 0) {
            entry.texts.push(undefined);
            await call('deleteMessage', { chat_id: chat, message_id: entry.id });
            entry.texts = [undefined];
          }
          if (mine % 5 === 0) {
            const user = people[1 + (mine % 49)] ?? 0;
            const key = `${chat}/${user}`;
            if (statuses.has(key)) continue;
            statuses.set(key, ['left', 'member']);
            await json(pool, 'PUT', `/local/chats/${chat}/members/${user}`, {});
            statuses.set(key, ['member', 'kicked', 'left']);
            if (mine % 2 === 0) {
              await call('banChatMember', { chat_id: chat, user_id: user });
              statuses.set(key, [chats.indexOf(chat) % 3 === 1 ? 'left' : 'kicked']);
            } else statuses.set(key, ['member']);
          }
        } catch (error) {
          if (killed === undefined) throw error;
          return;
        }
      }
    };
    await Promise.all(Array.from({ length: 6 }, worker));
    await killed;
    await pool.destroy();
  }
  t.ok(expected.length > 100, `${expected.length} messages`);
  t.ok(statuses.size > 10, `${statuses.size} members`);
});
