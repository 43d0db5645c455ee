import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { request } from 'undici';
import { startLocalTelegram } from '../../../src/local/telegram/server.js';
import { eventually } from '../../support/eventually.js';
import { type LocalTelegramControl, localTelegramControl, type SeenMessage } from '../../support/local-telegram.js';
import { needed } from '../../support/needs.js';
import { freePort, type PosthornProcess, startProcess } from '../../support/posthorn-process.js';

// One bot, written four times as the client libraries' own documentation would have it (clients/), unmodified libraries, only the API root is another. What people
// see of it must be the same with all of them, by polling and by webhook.

const CLIENTS = join(import.meta.dirname, 'clients');
/** How long anything that a client does may take on a busy machine, ms. */
const PATIENCE_MS = 30_000;
const SECRET = 'Secret_token-1';
const NOTES = 'To be kept for long: ĝis, 👋🏽.';
const PHOTO = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==',
  'base64',
);

type Library = 'telegraf' | 'grammy' | 'aiogram' | 'python-telegram-bot';
type Mode = 'polling' | 'webhook';

/** Ada talks with the bot; Bob has never written to it. */
interface Scene {
  readonly control: LocalTelegramControl;
  readonly client: PosthornProcess;
  readonly botId: number;
  readonly ada: number;
  readonly bob: number;
  /** Ada writes to the bot. */
  write(text: string): Promise<void>;
  /** Calls a method in the bot's name. */
  call<T>(method: string): Promise<T>;
}

/** What a person sees of a message, without ids and dates. */
interface Sight {
  readonly text?: string;
  readonly entities?: string;
  readonly caption?: string;
  readonly buttons?: string;
  /** Width and height of the largest size. */
  readonly photo?: string;
  readonly document?: string;
}

interface Row {
  readonly when: string;
  act(scene: Scene): Promise<void>;
  /** The bot's new messages in the private chat with Ada. */
  readonly sees?: readonly Sight[];
  readonly bobSees?: readonly Sight[];
  /** The client's new lines, each kind once. */
  readonly says?: (scene: Scene) => readonly string[];
}

/** The help as both parse modes give it. */
const HELP: Sight = {
  text: 'Help: read & write /start now',
  entities: 'bold@0+4 text_link@6+4 https://example.org/ code@19+6 spoiler@26+3',
};

const ROWS: readonly Row[] = [
  {
    when: 'a person starts the bot',
    act: ({ write }) => write('/start'),
    sees: [{ text: 'Hello, Ada. Do you agree?', buttons: 'Yes=agree:yes|No=agree:no' }],
  },
  {
    when: 'a person presses a button: it is answered, and the message becomes another',
    async act({ control, botId, ada }) {
      const [asked] = (await control.messages(botId, ada)).filter(({ replyMarkup }) => replyMarkup !== undefined);
      const pressed = await control.press(ada, botId, asked?.messageId ?? 0, 'agree:yes');
      const { answered, text } = pressed;
      if (!answered || text !== 'Noted: yes') throw new Error(`the press came to ${JSON.stringify(pressed)}`);
      await eventually('the question is changed', PATIENCE_MS, async () => {
        const now = (await control.messages(botId, ada)).find(({ messageId }) => messageId === asked?.messageId);
        return now?.text === 'You said yes.' && now.replyMarkup === undefined;
      });
    },
  },
  {
    when: 'a person writes',
    act: ({ write }) => write('Ĝis la revido 👋🏽, "friend" & <all>'),
    sees: [{ text: 'Ĝis la revido 👋🏽, "friend" & <all>' }],
  },
  {
    when: 'a person asks for help, which comes in HTML and in MarkdownV2',
    act: ({ write }) => write('/help'),
    sees: [HELP, HELP],
  },
  {
    when: 'a person asks for a photo, which comes as an upload and by its file_id',
    act: ({ write }) => write('/photo'),
    sees: [
      { photo: '2x2', caption: 'An upload' },
      { photo: '2x2', caption: 'The same again' },
    ],
  },
  {
    when: 'a person asks for a document, which the bot also downloads',
    act: ({ write }) => write('/document'),
    sees: [{ document: 'notes.txt', caption: 'To keep' }, { text: `notes.txt says: ${NOTES}` }],
  },
  {
    when: 'the bot writes too fast to one chat, is told to wait and obeys',
    async act({ control, write }) {
      await control.faults({ limits: 'telegram' });
      await write('/burst');
    },
    sees: [{ text: 'Burst 1' }, { text: 'Burst 2' }, { text: 'Burst 3' }],
    says: () => ['429 1'],
  },
  {
    when: 'a person blocks the bot',
    async act({ control, botId, ada }) {
      await control.faults({ limits: 'off' });
      await control.block(botId, [ada]);
    },
    says: ({ ada }) => [`my_chat_member ${ada} kicked`, '403 Forbidden: bot was blocked by the user'],
  },
  {
    when: 'a person unblocks the bot',
    act: ({ control, botId, ada }) => control.unblock(botId, ada),
    sees: [{ text: 'Welcome back.' }],
    says: ({ ada }) => [`my_chat_member ${ada} member`],
  },
  {
    when: 'a person asks to join a supergroup that the bot governs',
    async act({ control, client, botId, ada, bob, call }) {
      const choir = await control.chat('supergroup', 'Choir', ada);
      await control.join(choir, botId, { status: 'administrator', rights: ['can_invite_users'] });
      const inviteLink = await client.line('invite ');
      const status = await control.join(choir, bob, { inviteLink });
      if (status !== 'requested') throw new Error(`Bob is ${status}`);
      await eventually('Bob is a member', PATIENCE_MS, async () => {
        const member = await call<{ status: string }>(`getChatMember?chat_id=${choir}&user_id=${bob}`);
        return member.status === 'member';
      });
    },
    bobSees: [{ text: 'Welcome to Choir, Bob.' }],
    says: () => ['invite'],
  },
];

function sightOf({ text, entities, caption, photo, document, replyMarkup }: SeenMessage): Sight {
  const name = document?.file_name;
  const largest = photo?.at(-1);
  return {
    ...(text !== undefined && { text }),
    ...(entities !== undefined && {
      entities: entities
        .map(({ type, offset, length, url }) => `${type}@${offset}+${length}${url === undefined ? '' : ` ${url}`}`)
        .join(' '),
    }),
    ...(caption !== undefined && { caption }),
    ...(replyMarkup?.inline_keyboard !== undefined && {
      buttons: replyMarkup.inline_keyboard
        .map((row) => row.map((button) => `${button.text}=${button.callback_data}`).join('|'))
        .join('/'),
    }),
    ...(largest !== undefined && { photo: `${largest.width}x${largest.height}` }),
    ...(name !== undefined && { document: name }),
  };
}

/** The command that runs a client's script, or undefined when it is not installed (see `needed`). */
function commandOf(t: Test, library: Library): [string, string] | undefined {
  if (library === 'telegraf' || library === 'grammy') return [process.execPath, join(CLIENTS, `${library}.mjs`)];
  const marker = needed(t, 'telegram-clients');
  if (marker === undefined) return undefined;
  const script = library === 'aiogram' ? 'aiogram_bot.py' : 'python_telegram_bot.py';
  return [join(dirname(marker), 'bin/python'), join(CLIENTS, script)];
}

async function botApi<T>(url: string, token: string, method: string): Promise<T> {
  const { body } = await request(`${url}/bot${token}/${method}`);
  return ((await body.json()) as { result: T }).result;
}

async function playAll(t: Test, library: Library, mode: Mode): Promise<void> {
  const command = commandOf(t, library);
  if (command === undefined) return;
  const dir = t.testdir({ 'photo.png': PHOTO, 'document.txt': `${NOTES}\n` });
  const telegram = await startLocalTelegram({ dataDir: dir, port: 0 });
  t.teardown(() => telegram.stop());
  const control = localTelegramControl(telegram.url);
  await control.faults({ limits: 'off' });
  const [bot] = await control.bots();
  if (bot === undefined) throw new Error('the local Telegram has no bot');
  const ada = await control.person('Ada');
  const webhook = mode === 'webhook' ? `http://127.0.0.1:${await freePort()}/updates` : undefined;
  const [program, script] = command;
  const client = startProcess(t, {
    command: [program],
    args: [script],
    cwd: dir,
    env: {
      BOT_TOKEN: bot.token,
      TELEGRAM_API_ROOT: telegram.url,
      PHOTO: join(dir, 'photo.png'),
      DOCUMENT: join(dir, 'document.txt'),
      ...(webhook !== undefined && { WEBHOOK_URL: webhook, WEBHOOK_SECRET: SECRET }),
    },
  });
  await client.line('ready @');
  const call = <T>(method: string) => botApi<T>(telegram.url, bot.token, method);
  const seenBy = async (person: number) =>
    (await control.messages(bot.id, person)).filter(({ from }) => from.id === bot.id).map(sightOf);
  // Of an invite link, which is another each time, only the word.
  const linesOf = () =>
    client
      .stdout()
      .replaceAll(/^invite .*$/gm, 'invite')
      .split('\n')
      .slice(0, -1);
  const scene: Scene = {
    control,
    client,
    botId: bot.id,
    ada,
    bob: await control.person('Bob', false),
    write: (text) => control.write(ada, bot.id, text),
    call,
  };
  for (const { when, act, sees = [], bobSees = [], says } of ROWS) {
    const before = { ada: (await seenBy(ada)).length, bob: (await seenBy(scene.bob)).length, lines: linesOf().length };
    const news = async () => ({
      ada: (await seenBy(ada)).slice(before.ada),
      bob: (await seenBy(scene.bob)).slice(before.bob),
      client: [...new Set(linesOf().slice(before.lines))],
    });
    await act(scene);
    const due = { ada: sees, bob: bobSees, client: says?.(scene) ?? [] };
    await eventually(when, PATIENCE_MS, async () => {
      if (!client.running) throw new Error(`the client ended: ${client.stderr()}`);
      const { ada, bob, client: lines } = await news();
      return ada.length >= due.ada.length && bob.length >= due.bob.length && lines.length >= due.client.length;
    });
    t.strictSame(await news(), due, when);
  }
  t.strictSame(
    await call('getMyCommands'),
    [
      { command: 'start', description: 'Begin' },
      { command: 'help', description: 'What there is' },
    ],
    'the commands that the client set',
  );
  const { tooMany } = await control.stats();
  t.ok(tooMany === 2 || tooMany === 3, `each 429 was obeyed: there were ${tooMany} for two or three waits`);
  const { url } = await eventually('all updates are confirmed', PATIENCE_MS, async () => {
    const info = await call<{ url: string; pending_update_count: number }>('getWebhookInfo');
    return info.pending_update_count === 0 && info;
  });
  t.equal(url, webhook ?? '', 'the webhook that the client set');
  t.strictSame(await client.end('SIGTERM'), { code: 0, signal: null }, 'the client ends in peace');
}

for (const library of ['telegraf', 'grammy', 'aiogram', 'python-telegram-bot'] as const) {
  for (const mode of ['polling', 'webhook'] as const) {
    t.test(`${library}, ${mode}`, (t) => playAll(t, library, mode));
  }
}
