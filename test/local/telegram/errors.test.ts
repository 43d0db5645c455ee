import { readFileSync } from 'node:fs';
import t from 'tap';
import { pngImage } from '../../support/images.js';
import { type Answer, ask, type Bench, bench, manualClock, until } from './telegram-bench.js';

/** What the programs of the table work with; people, chats and bots are their own each. */
interface Stage extends Bench {
  readonly clock: ReturnType<typeof manualClock>;
  person(more?: Record<string, unknown>): Promise<number>;
  /** A chat with its owner, and the bot in it with that standing. */
  chat(type: string, standing?: Record<string, unknown>): Promise<{ id: number; owner: number }>;
  /** Someone comes into a chat. */
  enter(chat: number, user: number, standing?: Record<string, unknown>): Promise<void>;
  /** A bot's message that is accepted; returns its id. */
  sent(chat: number, text?: string): Promise<number>;
  /** A request by path, with the parts of a form if there are any. */
  request(path: string, form?: Record<string, string | Blob>): Promise<Answer>;
  /** Another bot's token. */
  otherBot(): Promise<string>;
  /** A long poll that has begun; its answer comes in time. */
  poll(token: string): Promise<{ answer: Promise<Answer> }>;
}

interface Row {
  readonly status: number;
  /** The whole description. */
  readonly description: string;
  readonly parameters?: (answer: Answer['body']) => Record<string, unknown>;
  readonly program: (stage: Stage) => Promise<Answer>;
}

const DAY_MS = 24 * 3600 * 1000;
const NOT_MODIFIED =
  'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message';
const bad = (what: string, program: Row['program']): Row => ({
  status: 400,
  description: `Bad Request: ${what}`,
  program,
});
const forbidden = (what: string, program: Row['program']): Row => ({
  status: 403,
  description: `Forbidden: ${what}`,
  program,
});
const conflict = (what: string, program: Row['program']): Row => ({
  status: 409,
  description: `Conflict: ${what}`,
  program,
});

/** A row of a bot that was put out of a chat. */
const kicked = (type: string): Row =>
  forbidden(`bot was kicked from the ${type} chat`, async ({ chat, local, botId, call }) => {
    const { id } = await chat(type);
    await local('DELETE', `chats/${id}/members/${botId}`);
    return call('sendMessage', { chat_id: id, text: 'x' });
  });

/** A photo or document that comes with a call, to a person. */
async function sendFile({ person, request, token }: Stage, kind: 'photo' | 'document', bytes: Buffer): Promise<Answer> {
  const form = { chat_id: String(await person()), [kind]: new Blob([bytes]) };
  return request(`/bot${token}/${kind === 'photo' ? 'sendPhoto' : 'sendDocument'}`, form);
}

/** A row of a photo that is refused for what it is. */
const badPhoto = (what: string, bytes: Buffer): Row => bad(what, (stage) => sendFile(stage, 'photo', bytes));

/** The id of a photo that was sent to someone, and the message's. */
async function sentPhoto(stage: Stage): Promise<{ fileId: string; chat: number; message: number }> {
  const { result } = (await sendFile(stage, 'photo', pngImage(4, 3))).body;
  return { fileId: result.photo[0].file_id, chat: result.chat.id, message: result.message_id };
}

let migratedTo = 0;

const ROWS: readonly Row[] = [
  { status: 404, description: 'Not Found', program: ({ request }) => request('/bot') },
  { status: 404, description: 'Not Found: method not found', program: ({ call }) => call('sendMassage') },
  {
    status: 401,
    description: 'Unauthorized: invalid token specified',
    program: ({ call }) => call('getMe', {}, 'token'),
  },
  { status: 401, description: 'Unauthorized', program: ({ call, token }) => call('getMe', {}, `${token}x`) },

  conflict(
    'terminated by other getUpdates request; make sure that only one bot instance is running',
    async ({ otherBot, poll, call }) => {
      const token = await otherBot();
      const { answer } = await poll(token);
      await call('getUpdates', {}, token);
      return answer;
    },
  ),
  conflict(
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    async ({ otherBot, call }) => {
      const token = await otherBot();
      await call('setWebhook', { url: 'http://127.0.0.1:9/hook' }, token);
      return call('getUpdates', {}, token);
    },
  ),
  conflict('terminated by setWebhook request', async ({ otherBot, poll, call }) => {
    const token = await otherBot();
    const { answer } = await poll(token);
    await call('setWebhook', { url: 'http://127.0.0.1:9/hook' }, token);
    return answer;
  }),

  forbidden('bot was blocked by the user', async ({ person, local, call, botId }) => {
    const id = await person();
    await local('PUT', `blocks/${id}/${botId}`);
    return call('sendMessage', { chat_id: id, text: 'x' });
  }),
  forbidden('user is deactivated', async ({ person, local, call }) => {
    const id = await person();
    await local('DELETE', `people/${id}`);
    return call('sendMessage', { chat_id: id, text: 'x' });
  }),
  forbidden("bot can't initiate conversation with a user", async ({ person, call }) =>
    call('sendMessage', { chat_id: await person({ started: false }), text: 'x' }),
  ),
  kicked('group'),
  kicked('supergroup'),
  kicked('channel'),
  forbidden('bot is not a member of the supergroup chat', async ({ chat, call }) => {
    const { id } = await chat('supergroup');
    await call('leaveChat', { chat_id: id });
    return call('sendMessage', { chat_id: id, text: 'x' });
  }),
  forbidden('the group chat was deleted', async ({ chat, call, local }) => {
    const { id } = await chat('group');
    await local('DELETE', `chats/${id}`);
    return call('sendMessage', { chat_id: id, text: 'x' });
  }),
  bad('chat not found', ({ call }) => call('sendMessage', { chat_id: 1, text: 'x' })),
  bad('chat_id is empty', ({ call }) => call('sendMessage', { text: 'x' })),
  {
    ...bad('group chat was upgraded to a supergroup chat', async ({ chat, local, call }) => {
      const { id } = await chat('group');
      migratedTo = (await local('POST', `chats/${id}/upgrade`)).body.id;
      return call('sendMessage', { chat_id: id, text: 'x' });
    }),
    parameters: () => ({ migrate_to_chat_id: migratedTo }),
  },

  bad('message text is empty', async ({ person, call }) => call('sendMessage', { chat_id: await person(), text: '' })),
  bad('message is too long', async ({ person, call }) =>
    call('sendMessage', { chat_id: await person(), text: `<b>${'x'.repeat(4097)}</b>`, parse_mode: 'HTML' }),
  ),
  bad('message caption is too long', async ({ person, request, token }) =>
    request(`/bot${token}/sendDocument`, {
      chat_id: String(await person()),
      caption: 'x'.repeat(1025),
      document: new Blob(['a file']),
    }),
  ),
  bad('can\'t parse entities: Can\'t find end tag corresponding to start tag "b"', async ({ person, call }) =>
    call('sendMessage', { chat_id: await person(), text: '<b>x', parse_mode: 'HTML' }),
  ),
  bad('unsupported parse_mode', async ({ person, call }) =>
    call('sendMessage', { chat_id: await person(), text: 'x', parse_mode: 'BBCode' }),
  ),

  bad('message to edit not found', async ({ person, call }) =>
    call('editMessageText', { chat_id: await person(), message_id: 1_000_000, text: 'x' }),
  ),
  bad("message can't be edited", async ({ person, local, call, botId }) => {
    const id = await person();
    const { messageId } = (await local('POST', 'messages', { from: id, chat: botId, text: 'mine' })).body;
    return call('editMessageText', { chat_id: id, message_id: messageId, text: 'x' });
  }),
  bad(NOT_MODIFIED, async ({ person, sent, call }) => {
    const id = await person();
    return call('editMessageText', { chat_id: id, message_id: await sent(id, 'same'), text: 'same' });
  }),
  bad('message to delete not found', async ({ person, call }) =>
    call('deleteMessage', { chat_id: await person(), message_id: 1_000_000 }),
  ),
  bad("message can't be deleted", async ({ chat, sent, call, clock }) => {
    const { id } = await chat('supergroup');
    const message = await sent(id);
    await clock.advance(2 * DAY_MS);
    return call('deleteMessage', { chat_id: id, message_id: message });
  }),
  bad("message can't be deleted for everyone", async ({ person, sent, call, clock }) => {
    const id = await person();
    const message = await sent(id);
    await clock.advance(2 * DAY_MS);
    return call('deleteMessage', { chat_id: id, message_id: message });
  }),
  bad('query is too old and response timeout expired or query ID is invalid', ({ call }) =>
    call('answerCallbackQuery', { callback_query_id: '4242' }),
  ),
  bad('BUTTON_DATA_INVALID', async ({ person, call }) =>
    call('sendMessage', {
      chat_id: await person(),
      text: 'x',
      reply_markup: { inline_keyboard: [[{ text: 'a', callback_data: 'x'.repeat(65) }]] },
    }),
  ),

  bad('there is no photo in the request', async ({ person, call }) => call('sendPhoto', { chat_id: await person() })),
  badPhoto('file must be non-empty', Buffer.alloc(0)),
  badPhoto('IMAGE_PROCESS_FAILED', Buffer.from('no image')),
  badPhoto('PHOTO_INVALID_DIMENSIONS', pngImage(41, 2)),
  badPhoto(
    'file of size 10485761 bytes is too big for a photo; the maximum size is 10485760 bytes',
    Buffer.concat([pngImage(4, 3), Buffer.alloc(10_485_761)]).subarray(0, 10_485_761),
  ),
  bad('wrong file identifier/HTTP URL specified', async (stage) => {
    const { fileId, chat } = await sentPhoto(stage);
    return stage.call('sendPhoto', { chat_id: chat, photo: fileId }, await stage.otherBot());
  }),
  bad("wrong remote file identifier specified: can't unserialize it", async ({ person, call }) =>
    call('sendPhoto', { chat_id: await person(), photo: 'AgACAg' }),
  ),
  bad("can't use file of type Photo as Document", async (stage) => {
    const { fileId, chat } = await sentPhoto(stage);
    return stage.call('sendDocument', { chat_id: chat, document: fileId });
  }),
  bad('file_id not specified', ({ call }) => call('getFile')),
  bad('invalid file_id', ({ call }) => call('getFile', { file_id: 'AgACAg' })),
  bad('wrong file_id or the file is temporarily unavailable', async (stage) => {
    const { fileId } = await sentPhoto(stage);
    return stage.call('getFile', { file_id: fileId }, await stage.otherBot());
  }),
  bad('file is too big', async (stage) => {
    const { result } = (await sendFile(stage, 'document', Buffer.alloc(20 * 1024 * 1024 + 1))).body;
    return stage.call('getFile', { file_id: result.document.file_id });
  }),
  bad('message to copy not found', async ({ person, call }) => {
    const id = await person();
    return call('copyMessage', { chat_id: id, from_chat_id: id, message_id: 1_000_000 });
  }),
  bad("message can't be copied", async ({ chat, person, enter, call }) => {
    const { id } = await chat('supergroup');
    const user = await person();
    await enter(id, user);
    return call('copyMessage', { chat_id: user, from_chat_id: id, message_id: 1 });
  }),
  bad('there is no caption in the message to edit', async ({ person, sent, call }) => {
    const id = await person();
    return call('editMessageCaption', { chat_id: id, message_id: await sent(id), caption: 'x' });
  }),
  bad('there is no text in the message to edit', async (stage) => {
    const { chat, message } = await sentPhoto(stage);
    return stage.call('editMessageText', { chat_id: chat, message_id: message, text: 'x' });
  }),

  bad('not enough rights to restrict/unrestrict chat member', async ({ chat, person, enter, call }) => {
    const { id } = await chat('supergroup');
    const user = await person();
    await enter(id, user);
    return call('banChatMember', { chat_id: id, user_id: user });
  }),
  bad('user is an administrator of the chat', async ({ chat, person, enter, call }) => {
    const { id } = await chat('supergroup', { status: 'administrator' });
    const user = await person();
    await enter(id, user, { status: 'administrator' });
    return call('banChatMember', { chat_id: id, user_id: user });
  }),
  bad("can't remove chat owner", async ({ chat, call }) => {
    const { id, owner } = await chat('supergroup', { status: 'administrator' });
    return call('banChatMember', { chat_id: id, user_id: owner });
  }),
  bad("can't restrict self", async ({ chat, call, botId }) => {
    const { id } = await chat('supergroup', { status: 'administrator' });
    return call('restrictChatMember', { chat_id: id, user_id: botId, permissions: {} });
  }),
  bad('member not found', async ({ chat, call }) => {
    const { id } = await chat('supergroup', { status: 'administrator' });
    return call('getChatMember', { chat_id: id, user_id: 1 });
  }),
  bad('invalid user_id specified', async ({ chat, call }) => {
    const { id } = await chat('supergroup');
    return call('getChatMember', { chat_id: id });
  }),
  bad('not enough rights to manage chat join requests', async ({ chat, person, call }) => {
    const { id } = await chat('supergroup');
    return call('approveChatJoinRequest', { chat_id: id, user_id: await person() });
  }),
  bad('USER_ALREADY_PARTICIPANT', async ({ chat, call }) => {
    const { id, owner } = await chat('supergroup', { status: 'administrator' });
    return call('approveChatJoinRequest', { chat_id: id, user_id: owner });
  }),
  bad('HIDE_REQUESTER_MISSING', async ({ chat, person, call }) => {
    const { id } = await chat('supergroup', { status: 'administrator' });
    return call('declineChatJoinRequest', { chat_id: id, user_id: await person() });
  }),

  {
    status: 429,
    description: 'Too Many Requests: retry after 1',
    parameters: () => ({ retry_after: 1 }),
    program: async ({ person, sent, call, local }) => {
      const id = await person();
      await local('PUT', 'faults', { limits: 'telegram' });
      await sent(id);
      const answer = await call('sendMessage', { chat_id: id, text: 'x' });
      await local('PUT', 'faults', { limits: 'off' });
      return answer;
    },
  },
];

t.test('every error that docs/telegram.md names has a row', (t) => {
  const documented = documentedErrors();
  t.ok(documented.length >= 40, `${documented.length} errors were read from the page`);
  for (const error of documented) {
    const pattern = error
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replace(/…$/, '.+')
      .replace(/ N$/, ' \\d+');
    t.ok(
      ROWS.some(({ description }) => new RegExp(`^${pattern}$`).test(description)),
      error,
    );
  }
  t.end();
});

t.test('every error comes about, in Telegram’s own words', async (t) => {
  const clock = manualClock();
  const base = await bench(t, { clock });
  const { call, local, people, botId, telegram } = base;
  await local('PUT', 'faults', { limits: 'off' });
  const stage: Stage = {
    ...base,
    clock,
    person: async (more) => (await people(1, more))[0] ?? 0,
    async chat(type, standing = {}) {
      const owner = await stage.person();
      const { id } = (await local('POST', 'chats', { type, title: 'a chat', ownerId: owner })).body;
      await stage.enter(id, botId, standing);
      return { id, owner };
    },
    async enter(chat, user, standing = {}) {
      const { status, body } = await local('PUT', `chats/${chat}/members/${user}`, standing);
      if (status !== 200) throw new Error(body.error);
    },
    async sent(chat, text = 'x') {
      const { body } = await call('sendMessage', { chat_id: chat, text });
      if (!body.ok) throw new Error(body.description);
      return body.result.message_id;
    },
    request(path, form) {
      if (form === undefined) return ask(telegram.url + path, {});
      const body = new FormData();
      for (const [name, value] of Object.entries(form)) body.set(name, value);
      return ask(telegram.url + path, { method: 'POST', body });
    },
    otherBot: async () => (await local('POST', 'bots', {})).body.token,
    async poll(token) {
      const polls = async (): Promise<number> => (await local('GET', 'stats')).body.calls.getUpdates ?? 0;
      const before = await polls();
      const answer = call('getUpdates', { timeout: 50 }, token);
      await until(async () => (await polls()) > before);
      return { answer };
    },
  };
  for (const { status, description, parameters, program } of ROWS) {
    const answer = await program(stage);
    t.equal(answer.status, status, description);
    t.same(answer.body, {
      ok: false,
      error_code: status,
      description,
      ...(parameters !== undefined && { parameters: parameters(answer.body) }),
    });
    t.equal(answer.headers.get('retry-after'), status === 429 ? '1' : null);
  }
});

/** The errors of the page, whole: after BR, F or a status, or by their first words. */
function documentedErrors(): string[] {
  const page = readFileSync(new URL('../../../docs/telegram.md', import.meta.url), 'utf8').replace(/\s+/g, ' ');
  const found: string[] = [];
  const kinds = { BR: 'Bad Request: ', F: 'Forbidden: ', 429: '' } as const;
  for (const [, kind, what = '', also = ''] of page.matchAll(/\b(BR|F|429) `([^`]+)`(?: \(also ([^)]+)\))?/g)) {
    const error = `${kinds[kind as keyof typeof kinds]}${what}`;
    found.push(error);
    for (const [, word = ''] of also.matchAll(/`([^`]+)`/g)) found.push(error.replace(/\w+ chat$/, `${word} chat`));
  }
  for (const [, error = ''] of page.matchAll(/`((?:Not Found|Unauthorized|Conflict)[^`]*)`/g)) found.push(error);
  return found;
}
