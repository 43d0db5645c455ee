import { newPace, type Pace } from '../limits/rate-limits.js';
import { CallbackQueries } from './callback-queries.js';
import { SecondWindow } from './counters.js';
import { Dialogs } from './dialogs.js';
import { MessageLog } from './message-log.js';
import { UpdateQueue } from './update-queue.js';

/** Kinds of updates that a bot gets only when it asks for them by name. */
const BY_NAME_ONLY = new Set(['chat_member', 'message_reaction', 'message_reaction_count']);

/** What a bot is told to be at its making; `first` marks the made-up bot of a start without a token. */
export interface BotMaking {
  readonly id: number;
  readonly token: string;
  readonly name: string;
  readonly username: string;
  readonly firstUpdateId: number;
  readonly first: boolean;
}

/** Where a bot has its updates posted to; `secretToken` is '' for none, `ipAddress` stands in for the address of the URL's host. */
export interface WebhookSettings {
  readonly url: string;
  readonly secretToken: string;
  readonly maxConnections: number;
  readonly ipAddress?: string;
}

/**
 * What is set of a bot: `allowed` is its last `allowed_updates`, absent or empty for the default; commands by scope and language; `readsAll`
 * when its privacy mode is off, so that it gets all messages of people in groups.
 */
export interface BotSettings {
  readsAll?: boolean;
  allowed?: readonly string[];
  webhook?: WebhookSettings;
  commands: Record<string, readonly unknown[]>;
}

/** One bot and all that belongs to it. `nextMessageId` counts over all its private chats and basic groups, as in Telegram. */
export interface Bot {
  readonly making: BotMaking;
  /** The Bot API's User in JSON, without what only getMe shows. */
  readonly userJson: string;
  readonly dialogs: Dialogs;
  /** What is kept of the bot's messages in groups and channels, by the chat's index. */
  readonly groupDialogs: Dialogs;
  /** Messages pinned in private chats, the newest pin last, by person. */
  readonly pinned: Map<number, readonly number[]>;
  /** Until when (ms) the bot may write to people who asked to join a chat and never wrote to it, by person. */
  readonly openUntil: Map<number, number>;
  /** Where the messages of its private chats lie. */
  readonly log: MessageLog;
  readonly pace: Pace;
  readonly second: SecondWindow;
  /** Chats shut after a 429 under the model `strict`: person's index → until (ms). */
  readonly shutChats: Map<number, number>;
  readonly queries: CallbackQueries;
  queue: UpdateQueue;
  settings: BotSettings;
  nextMessageId: number;
}

/** A bot that has done nothing yet. Never throws. */
export function newBot(making: BotMaking): Bot {
  const { id, name, username } = making;
  return {
    making,
    userJson: `{"id":${id},"is_bot":true,"first_name":${JSON.stringify(name)},"username":${JSON.stringify(username)}}`,
    dialogs: new Dialogs(),
    groupDialogs: new Dialogs(),
    pinned: new Map(),
    openUntil: new Map(),
    log: new MessageLog(),
    pace: newPace(),
    second: new SecondWindow(),
    shutChats: new Map(),
    queries: new CallbackQueries(),
    queue: new UpdateQueue(making.firstUpdateId),
    settings: { commands: {} },
    nextMessageId: 1,
  };
}

/** Whether the bot wants updates of a kind, by its last `allowed_updates`. Never throws. */
export function wants(bot: Bot, kind: string): boolean {
  const { allowed } = bot.settings;
  return allowed === undefined || allowed.length === 0 ? !BY_NAME_ONLY.has(kind) : allowed.includes(kind);
}
