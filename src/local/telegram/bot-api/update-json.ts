import type { Bot } from '../world/bot.js';
import { type ChatRecord, type MemberChange, updateKind } from '../world/chat-events.js';
import type { Chat } from '../world/chats.js';
import type { BlockRecord, WrittenRecord } from '../world/record.js';
import { messageIn } from '../world/stored-message.js';
import type { World } from '../world/world.js';
import { memberJson } from './member-json.js';
import { messageJson, placeJson, userJsonOf } from './message-json.js';

const UPDATE_LIFE_MS = 24 * 3600 * 1000;

/** A waiting update as the Bot API's Update, in JSON; undefined when it expired (24 h), its record was given up or its chat is gone. Never throws. */
export function updateJson(world: World, bot: Bot, id: number, offset: number, now: number): string | undefined {
  const record = world.messages.record(offset);
  if (record === undefined) return undefined;
  const body = bodyOf(world, bot, id, record, now);
  return body === undefined ? undefined : `{"update_id":${id},${body}}`;
}

function bodyOf(
  world: World,
  bot: Bot,
  id: number,
  record: NonNullable<ReturnType<World['messages']['record']>>,
  now: number,
): string | undefined {
  switch (record[0]) {
    case 'm':
      return isAlive(record[4], now) ? writtenBody(world, bot, record) : undefined;
    case 'k':
      return isAlive(record[3], now) ? blockBody(world, bot, record) : undefined;
    case 'g':
      return isAlive(record[1], now) ? chatBody(world, bot, id, record) : undefined;
    default:
      return undefined;
  }
}

function isAlive(at: number, now: number): boolean {
  return now - at <= UPDATE_LIFE_MS;
}

function writtenBody(world: World, bot: Bot, record: WrittenRecord): string | undefined {
  const place = { bot, id: record[2] };
  const message = messageIn(record, place);
  if (message === undefined || world.state.people.find(place.id) === undefined) return undefined;
  return `"message":${messageJson(world, place, message)}`;
}

function blockBody(world: World, bot: Bot, [, , person, at, blocked]: BlockRecord): string | undefined {
  if (world.state.people.find(person) === undefined) return undefined;
  const member = `{"user":${bot.userJson},"status":"member"}`;
  const kicked = `{"user":${bot.userJson},"status":"kicked","until_date":0}`;
  const [before, after] = blocked === 1 ? [member, kicked] : [kicked, member];
  return (
    `"my_chat_member":{"chat":${placeJson(world, { bot, id: person })},"from":${userJsonOf(world, person)},` +
    `"date":${Math.floor(at / 1000)},"old_chat_member":${before},"new_chat_member":${after}}`
  );
}

/** The event of a record that an update of this bot was made of. */
function chatBody(world: World, bot: Bot, id: number, [, at, events, updates]: ChatRecord): string | undefined {
  const [, , index = 0] = updates.find(([to, update]) => to === bot.making.id && update === id) ?? [];
  const event = events[index];
  if (event === undefined || 'made' in event) return undefined;
  const chat = world.state.chats.byId.get('message' in event ? event.message.chat : event.member.chat);
  if (chat === undefined) return undefined;
  const kind = updateKind(event, bot.making.id, chat.type === 'channel');
  const value =
    'message' in event
      ? messageJson(world, { chat, id: chat.id }, event.message)
      : changeJson(world, chat, bot, event.member, at);
  return `"${kind}":${value}`;
}

function changeJson(world: World, chat: Chat, bot: Bot, change: MemberChange, at: number): string {
  const viewer = bot.making.id;
  return (
    `{"chat":${placeJson(world, { chat, id: chat.id })},"from":${userJsonOf(world, change.by)},"date":${Math.floor(at / 1000)},` +
    `"old_chat_member":${memberJson(world, chat, change.user, change.old, viewer)},` +
    `"new_chat_member":${memberJson(world, chat, change.user, change.new, viewer)}}`
  );
}
