import type { CallbackAnswer } from '../bot-api/callback-answers.js';
import type { Faults } from '../limits/faults.js';
import { LocalTelegramError } from '../local-telegram-error.js';
import type { WireMessage, WirePerson } from '../page/browser/wire.js';
import type { Counters } from '../world/counters.js';
import { getBots, postBot } from './bots.js';
import type { Call, LocalRoutesDeps, Reply } from './call.js';
import { deleteMember, deleteWholeChat, postChat, postUpgrade, putMember } from './chats.js';
import { putClock } from './clock.js';
import { getStats, postReset, putFaults } from './faults.js';
import { deleteMessage, getMessages, postMessage, putMessage } from './messages.js';
import { deleteBlock, postPeople, putBlocks } from './people.js';
import { postPress } from './presses.js';

/** A bot, as the control API shows it. */
export interface LocalBot {
  readonly id: number;
  readonly token: string;
  readonly username: string;
  readonly name: string;
}

/** What may be wished of a person to be made; `started` false: has never written to a bot. */
export interface PersonWish {
  readonly firstName?: string;
  readonly username?: string;
  readonly languageCode?: string;
  readonly started?: boolean;
}

/**
 * The control API of a local Telegram of this process, function by function: what a route of docs/contract.md does, with its checks, without the
 * sockets. `chat` is a bot's id in a private chat, else the chat's id. What was changed is durable, and bots hear of it, at the end of the event
 * loop's turn. Wrong input throws a LocalTelegramError, PH_LOCAL_TELEGRAM_INPUT, whose message names the field; a disk
 * that refuses, PH_LOCAL_TELEGRAM_DATA.
 */
export interface LocalControl {
  /** The made-up one first. */
  bots(): LocalBot[];
  makeBot(wish?: { readonly username?: string; readonly name?: string }): LocalBot;
  makePerson(wish?: PersonWish): WirePerson;
  /** Makes many alike and returns their ids. */
  people(count: number, wish?: PersonWish): number[];
  /** People block a bot. */
  block(bot: number, users: readonly number[]): void;
  unblock(bot: number, user: number): void;
  /** Makes a chat and returns its id. */
  makeChat(wish: {
    readonly type: 'group' | 'supergroup' | 'channel';
    readonly title: string;
    readonly ownerId: number;
    readonly username?: string;
  }): number;
  /** Someone comes in, asks to, or gets another standing; returns the standing. */
  putMember(
    chat: number,
    user: number,
    wish?: {
      readonly status?: 'member' | 'administrator';
      readonly rights?: readonly string[];
      readonly inviteLink?: string;
    },
  ): string;
  /** Someone leaves, or a bot is put out; returns the standing. */
  removeMember(chat: number, user: number): string;
  /** Makes a supergroup of a group and returns its id. */
  upgradeChat(chat: number): number;
  deleteChat(chat: number): void;
  /** A person writes; returns the message's id. */
  write(from: number, chat: number, text: string, replyTo?: number): number;
  /** A person edits what he wrote. */
  edit(from: number, chat: number, messageId: number, text: string): void;
  /** A person deletes a message for everyone. */
  remove(from: number, chat: number, messageId: number): void;
  /** What a person sees above a message's id, oldest first; the newest 10,000. */
  messages(chat: number, user: number, after?: number): WireMessage[];
  /** A person presses a button; resolves with the bot's answer, or after 10 s with `answered` false. */
  press(
    from: number,
    chat: number,
    messageId: number,
    data: string,
  ): Promise<{ readonly answered: boolean } & CallbackAnswer>;
  /** Changes what goes wrong on purpose; returns what holds now. */
  faults(change: Partial<Omit<Faults, 'tooMany'>> & { readonly tooMany?: Partial<Faults['tooMany']> }): Faults;
  /** The figures, as they stand. */
  stats(): Counters;
  /** Figures to zero, faults off; with the world also: nobody left but the made-up bot. */
  reset(withWorld?: boolean): void;
  /** Lets time stand still, so that only `advance` moves it, or go on. */
  setVirtual(virtual: boolean): Promise<void>;
  /** Puts time forward by whole ms; resolves when all that fell due on the way has happened. */
  advance(ms: number): Promise<void>;
}

/** The control API as functions, over what the routes work on; `check` throws while nothing can be taken. */
export function createLocalControl(deps: LocalRoutesDeps, check: () => void): LocalControl {
  const ask = <T>(route: (deps: LocalRoutesDeps, call: Call) => Reply, call: Partial<Call> = {}): T => {
    check();
    return takeValue(route(deps, { ...NOTHING, ...call })) as T;
  };
  const wait = async <T>(
    route: (deps: LocalRoutesDeps, call: Call) => Promise<Reply>,
    body: Record<string, unknown>,
  ): Promise<T> => {
    check();
    return takeValue(await route(deps, { ...NOTHING, body })) as T;
  };
  return {
    bots: () => ask(getBots),
    makeBot: (wish = {}) => ask(postBot, { body: { ...wish } }),
    makePerson: (wish = {}) => ask(postPeople, { body: { ...wish } }),
    people: (count, wish = {}) => ask<{ ids: number[] }>(postPeople, { body: { ...wish, count } }).ids,
    block: (botId, userIds) => ask(putBlocks, { body: { botId, userIds } }),
    unblock: (bot, user) => ask(deleteBlock, { path: [String(user), String(bot)] }),
    makeChat: (wish) => ask<{ id: number }>(postChat, { body: { ...wish } }).id,
    putMember: (chat, user, wish = {}) =>
      ask<{ status: string }>(putMember, { path: [String(chat), String(user)], body: { ...wish } }).status,
    removeMember: (chat, user) => ask<{ status: string }>(deleteMember, { path: [String(chat), String(user)] }).status,
    upgradeChat: (chat) => ask<{ id: number }>(postUpgrade, { path: [String(chat)] }).id,
    deleteChat: (chat) => ask(deleteWholeChat, { path: [String(chat)] }),
    write: (from, chat, text, replyTo) =>
      ask<{ messageId: number }>(postMessage, { body: { from, chat, text, ...(replyTo !== undefined && { replyTo }) } })
        .messageId,
    edit: (from, chat, messageId, text) => ask(putMessage, { body: { from, chat, messageId, text } }),
    remove: (from, chat, messageId) => ask(deleteMessage, { body: { from, chat, messageId } }),
    messages: (chat, user, after = 0) =>
      ask(getMessages, {
        query: new URLSearchParams({ chat: String(chat), user: String(user), after: String(after) }),
      }),
    press: (from, chat, messageId, data) => wait(postPress, { from, chat, messageId, data }),
    faults: (change) => ask(putFaults, { body: { ...change } }),
    stats: () => structuredClone(ask<Counters>(getStats)),
    reset: (world = false) => ask(postReset, { body: { world } }),
    setVirtual: (virtual) => wait(putClock, { virtual }),
    advance: (advanceMs) => wait(putClock, { advanceMs }),
  };
}

const NOTHING: Call = { query: new URLSearchParams(), body: {}, path: [] };

function takeValue({ status, value }: Reply): unknown {
  if (status === 200) return value;
  throw new LocalTelegramError('PH_LOCAL_TELEGRAM_INPUT', (value as { error: string }).error);
}
