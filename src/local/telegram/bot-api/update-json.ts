import { chatIdOf } from '../world/audience.js';
import type { Bot } from '../world/bot.js';
import { type ChatEvent, type ChatRecord, type MemberChange, updateKind } from '../world/chat-events.js';
import { type Chat, groupJson, type JoinRequest } from '../world/chats.js';
import { messageIn, type Place } from '../world/place.js';
import type { BlockRecord, PressRecord, WrittenRecord } from '../world/record.js';
import type { WaitingUpdate } from '../world/update-queue.js';
import type { World } from '../world/world.js';
import { linkJson } from './invite-links.js';
import { memberJson } from './member-json.js';
import { messageJson, placeJson, userJsonOf } from './message-json.js';

/** A waiting update as the Bot API's Update, in JSON; undefined when its record was given up or its chat is gone. Never throws. */
export function updateJson(
  world: World,
  bot: Bot,
  { id, offset }: Pick<WaitingUpdate, 'id' | 'offset'>,
): string | undefined {
  const record = world.messages.record(offset);
  if (record === undefined) return undefined;
  const body = bodyOf(world, bot, id, record);
  return body === undefined ? undefined : `{"update_id":${id},${body}}`;
}

function bodyOf(
  world: World,
  bot: Bot,
  id: number,
  record: NonNullable<ReturnType<World['messages']['record']>>,
): string | undefined {
  switch (record[0]) {
    case 'm':
      return writtenBody(world, bot, record);
    case 'k':
      return blockBody(world, bot, record);
    case 'q':
      return pressBody(world, bot, record);
    case 'g':
      return chatBody(world, bot, id, record);
    default:
      return undefined;
  }
}

function writtenBody(world: World, bot: Bot, record: WrittenRecord): string | undefined {
  const place = { bot, id: record[2] };
  const message = messageIn(record, place);
  if (message === undefined || world.state.people.find(place.id) === undefined) return undefined;
  return `"message":${messageJson(world, bot, place, message)}`;
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

/** A press; of a message that is gone only its place is told. */
function pressBody(
  world: World,
  bot: Bot,
  [, , , { id, from, chat, messageId, data }]: PressRecord,
): string | undefined {
  const place = placeAt(world, bot, chat);
  if (place === undefined || world.state.people.find(from) === undefined) return undefined;
  const message = world.messages.find(place, messageId);
  const shown =
    message === undefined
      ? `{"chat":${placeJson(world, place)},"message_id":${messageId},"date":0}`
      : messageJson(world, bot, place, message);
  return (
    `"callback_query":{"id":"${id}","from":${userJsonOf(world, from)},"message":${shown},` +
    `"chat_instance":"${chatInstance(bot, chat)}","data":${JSON.stringify(data)}}`
  );
}

/** A number that stands for the chat towards this bot. */
function chatInstance(bot: Bot, chat: number): bigint {
  return BigInt.asIntN(64, BigInt(chat) * 6_364_136_223_846_793_005n + BigInt(bot.making.id));
}

/** The event of a record that an update of this bot was made of. */
function chatBody(world: World, bot: Bot, id: number, [, at, events, updates]: ChatRecord): string | undefined {
  const [, , index = -1] = updates.find(([to, update]) => to === bot.making.id && update === id) ?? [];
  const event = events[index];
  const place = event && placeOf(world, bot, event);
  if (event === undefined || place === undefined) return undefined;
  const kind = updateKind(event, bot.making.id, place.chat?.type === 'channel');
  const value = contentJson(world, place, bot, event, at);
  return kind === undefined || value === undefined ? undefined : `"${kind}":${value}`;
}

/** Where an event happened, unless it is gone. */
function placeOf(world: World, bot: Bot, event: ChatEvent): Place | undefined {
  return placeAt(world, bot, chatIdOf(event));
}

function placeAt({ state }: World, bot: Bot, id: number): Place | undefined {
  if (id > 0) return state.people.find(id) === undefined ? undefined : { id, bot };
  const chat = state.chats.byId.get(id);
  return chat && { id, chat };
}

function contentJson(world: World, place: Place, bot: Bot, event: ChatEvent, at: number): string | undefined {
  if (event.kind === 'written' || event.kind === 'edited') return messageJson(world, bot, place, event.message);
  if (place.chat === undefined) return undefined;
  if (event.kind === 'member') return changeJson(world, place.chat, bot, event.change, at);
  if (event.kind === 'requested') return requestJson(world, place.chat, bot, event.request);
  return undefined;
}

function requestJson(world: World, chat: Chat, bot: Bot, { user, at, link }: JoinRequest): string {
  return (
    `{"chat":${groupJson(chat)},"from":${userJsonOf(world, user)},"user_chat_id":${user},"date":${Math.floor(at / 1000)}` +
    `${wayJson(world, chat, bot, link)}}`
  );
}

/** The field `invite_link` with a leading comma, or ''. */
function wayJson(world: World, chat: Chat, bot: Bot, text: string | undefined): string {
  const link = text === undefined ? undefined : chat.links.get(text);
  return link === undefined ? '' : `,"invite_link":${linkJson(world, chat, link, bot.making.id)}`;
}

function changeJson(world: World, chat: Chat, bot: Bot, change: MemberChange, at: number): string {
  const viewer = bot.making.id;
  return (
    `{"chat":${groupJson(chat)},"from":${userJsonOf(world, change.by)},"date":${Math.floor(at / 1000)},` +
    `"old_chat_member":${memberJson(world, chat, change.user, change.old, viewer)},` +
    `"new_chat_member":${memberJson(world, chat, change.user, change.new, viewer)}` +
    `${wayJson(world, chat, bot, change.link)}${change.viaRequest === true ? ',"via_join_request":true' : ''}}`
  );
}
