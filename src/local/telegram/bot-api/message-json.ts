import type { Bot } from '../world/bot.js';
import type { ChatMessage } from '../world/chat-events.js';
import { groupJson } from '../world/chats.js';
import { chatJson, userJson } from '../world/people.js';
import type { Place } from '../world/place.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';
import { isObject } from './arguments.js';
import { mediaJson } from './media-json.js';

/** A person or a bot as the Bot API's User, in JSON; of one that is gone only the id is known. Never throws. */
export function userJsonOf({ state }: World, id: number): string {
  const bot = state.bots.get(id);
  if (bot !== undefined) return bot.userJson;
  const range = state.people.find(id);
  if (range !== undefined) return userJson(state.people.person(range, id));
  return `{"id":${id},"is_bot":false,"first_name":""}`;
}

/** A place as the Bot API's Chat, in JSON. Never throws. */
export function placeJson({ state }: World, { chat, id }: Place): string {
  if (chat !== undefined) return groupJson(chat);
  const range = state.people.find(id);
  return range === undefined
    ? `{"id":${id},"first_name":"","type":"private"}`
    : chatJson(state.people.person(range, id));
}

/** The account that Telegram names as the author of what anonymous administrators write. */
const GROUP_ANONYMOUS_BOT = '{"id":1087968824,"is_bot":true,"first_name":"Group","username":"GroupAnonymousBot"}';

/** Who wrote a message, as the Bot API's Message shows it: members with a comma at their end. */
function senderJson(world: World, { chat }: Place, { from, anonymous }: ChatMessage): string {
  if (chat?.type === 'channel') return `"sender_chat":${groupJson(chat)},`;
  if (chat === undefined || anonymous !== true) return `"from":${userJsonOf(world, from)},`;
  return `"from":${GROUP_ANONYMOUS_BOT},"sender_chat":${groupJson(chat)},`;
}

/**
 * A message as the Bot API's Message, in JSON, for the bot that sees it (whose its file ids are; undefined: none); those that it refers to are shown to a
 * depth of one. Never throws.
 */
export function messageJson(
  world: World,
  viewer: Bot | undefined,
  place: Place,
  message: ChatMessage,
  depth = 0,
): string {
  const { id, at, editedAt, text, extra } = message;
  const edited = editedAt === undefined ? '' : `,"edit_date":${Math.floor(editedAt / 1000)}`;
  return (
    `{"message_id":${id},${senderJson(world, place, message)}"chat":${placeJson(world, place)},"date":${Math.floor(at / 1000)}` +
    `${edited}${replyJson(world, viewer, place, extra, depth)}${contentJson(viewer, text, extra)}${extraJson(world, viewer, place, extra, depth)}}`
  );
}

/** Text, or photo or document with the caption, with a leading comma. */
function contentJson(viewer: Bot | undefined, text: string, { media }: MessageExtra): string {
  if (media !== undefined) return `,${mediaJson(viewer, media, text)}`;
  return text === '' ? '' : `,"text":${JSON.stringify(text)}`;
}

/** The field `reply_to_message` with a leading comma, or ''. The message replied to is shown without its own. Never throws. */
function replyJson(
  world: World,
  viewer: Bot | undefined,
  place: Place,
  { reply_to: id }: MessageExtra,
  depth: number,
): string {
  if (typeof id !== 'number' || depth > 0) return '';
  const original = world.messages.find(place, id);
  return original === undefined ? '' : `,"reply_to_message":${messageJson(world, viewer, place, original, depth + 1)}`;
}

/** Fields beyond the text, each with a leading comma. */
function extraJson(world: World, viewer: Bot | undefined, place: Place, extra: MessageExtra, depth: number): string {
  let json = '';
  for (const [name, value] of Object.entries(extra)) {
    switch (name) {
      case 'parse_mode':
      case 'reply_to':
      case 'media':
        break;
      case 'reply_markup':
        // A keyboard below the input field is the client's; the Message shows inline ones only.
        if (isObject(value) && 'inline_keyboard' in value) json += `,"reply_markup":${JSON.stringify(value)}`;
        break;
      case 'new_chat_members': {
        const users = (value as number[]).map((id) => userJsonOf(world, id));
        json += `,"new_chat_participant":${users[0]},"new_chat_member":${users[0]},"new_chat_members":[${users.join(',')}]`;
        break;
      }
      case 'left_chat_member': {
        const user = userJsonOf(world, value as number);
        json += `,"left_chat_participant":${user},"left_chat_member":${user}`;
        break;
      }
      case 'pinned_message': {
        const pinned = depth > 0 ? undefined : world.messages.find(place, value as number);
        if (pinned !== undefined) json += `,"pinned_message":${messageJson(world, viewer, place, pinned, depth + 1)}`;
        break;
      }
      default:
        json += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
    }
  }
  return json;
}
