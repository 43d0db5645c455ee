import type { CallbackAnswers } from '../bot-api/callback-answers.js';
import type { UpdatePolls } from '../bot-api/update-polls.js';
import type { VirtualClock } from '../virtual-clock.js';
import type { Webhooks } from '../webhooks/webhooks.js';
import type { Bot } from '../world/bot.js';
import type { Chat } from '../world/chats.js';
import type { Place } from '../world/place.js';
import type { World } from '../world/world.js';
import type { LiveFeed } from './live-feed.js';

/** Longest name of a person or a bot, in UTF-16 units. */
export const NAME_MAX = 64;

/** What the control API works on. */
export interface LocalRoutesDeps {
  readonly world: World;
  readonly clock: VirtualClock;
  readonly polls: UpdatePolls;
  readonly webhooks: Webhooks;
  readonly random: () => number;
  readonly callbacks: CallbackAnswers;
  readonly feed: LiveFeed;
  /** Told of what should not have been thrown. */
  readonly onDefect: (error: unknown) => void;
}

/** An answer of the control API: a status and a JSON value. */
export interface Reply {
  readonly status: number;
  readonly value: unknown;
}

/** A request to the control API; `path` is what follows the family's name. */
export interface Call {
  readonly query: URLSearchParams;
  readonly body: Record<string, unknown>;
  readonly path: readonly string[];
}

/** What carries out one route, at once or in time. Never throws or rejects. */
export type Route = (deps: LocalRoutesDeps, call: Call) => Reply | Promise<Reply>;

/** 200 with a value. Never throws. */
export function done(value: unknown): Reply {
  return { status: 200, value };
}

/** An error whose text names the field and what was expected; 400 unless told otherwise. Never throws. */
export function refuse(error: string, status = 400): Reply {
  return { status, value: { error } };
}

/** The first field that is not among the known ones, as an error's text. */
export function strangeField(body: Record<string, unknown>, known: readonly string[]): string | undefined {
  const strange = Object.keys(body).find((field) => !known.includes(field));
  return strange === undefined ? undefined : `${strange}: no such field`;
}

/** Whether a value may be a name, or is absent. Never throws. */
export function isName(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && value.trim() !== '' && value.length <= NAME_MAX);
}

/** Whether a value may be a username, or is absent. Never throws. */
export function isUsername(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && /^\w{1,32}$/.test(value));
}

/** Whether a value is a whole number within bounds. Never throws. */
export function isWhole(value: unknown, low: number, high: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}

/** An id in a path, a query or a body: digits or a whole number; undefined for anything else. */
export function readId(value: unknown): number | undefined {
  const id = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  return isWhole(id, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ? id : undefined;
}

/** The bot that a field names, or the error's text. */
export function findBot(world: World, field: string, value: unknown): Bot | string {
  const id = readId(value);
  if (id === undefined) return `${field}: expected the id of a bot`;
  return world.state.bots.get(id) ?? `${field}: there is no bot ${id}`;
}

/** The id of the person that a field names, or the error's text. */
export function findPerson(world: World, field: string, value: unknown): number | string {
  const id = readId(value);
  if (id === undefined) return `${field}: expected the id of a person`;
  if (world.state.people.find(id) === undefined) return `${field}: nobody made person ${id}`;
  return world.state.people.deactivated.has(id) ? `${field}: person ${id} has deleted the account` : id;
}

/** The group, supergroup or channel that a field names, or the error's text. */
export function findGroup(world: World, field: string, value: unknown): Chat | string {
  const id = readId(value);
  if (id === undefined || id >= 0) return `${field}: expected the id of a chat`;
  const chat = world.state.chats.byId.get(id);
  if (chat === undefined) return `${field}: nobody made chat ${id}`;
  if (chat.upgradedTo !== 0) return `${field}: chat ${id} was upgraded to ${chat.upgradedTo}`;
  return chat.deleted ? `${field}: chat ${id} was deleted` : chat;
}

/** Where a person's messages stand for a field that holds a bot's id or a chat's, or the error's text. */
export function findPlace(world: World, field: string, value: unknown, person: number): Place | string {
  const id = readId(value);
  if (id === undefined) return `${field}: expected the id of a bot or a chat`;
  if (id < 0) {
    const chat = findGroup(world, field, id);
    return typeof chat === 'string' ? chat : { id, chat };
  }
  const bot = findBot(world, field, id);
  return typeof bot === 'string' ? bot : { id: person, bot };
}
