import { isObject } from '../bot-api/arguments.js';
import { documentValue, photoSizes } from '../bot-api/media-json.js';
import { placeJson, userJsonOf } from '../bot-api/message-json.js';
import type { Media } from '../files/stored-file.js';
import type { WireEntity, WireMarkup, WireMessage, WireService, WireUser } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';
import type { ChatMessage } from '../world/chat-events.js';
import { type Member, mayRead } from '../world/chats.js';
import type { Place } from '../world/place.js';
import type { MessageExtra } from '../world/record.js';
import type { World } from '../world/world.js';

/** Which messages of a place are asked for: the newest `limit` with ids between two. */
export interface MessageRange {
  readonly after: number;
  readonly before: number;
  readonly limit: number;
}

/** Messages of a place, oldest first, as far as someone with that standing may read them. Never throws. */
export function messagesSeen(
  world: World,
  place: Place,
  { after, before, limit }: MessageRange,
  member?: Member,
): WireMessage[] {
  const found: WireMessage[] = [];
  for (const message of world.messages.history(place)) {
    if (message.id <= after || found.length === limit) break;
    if (message.id >= before || (member !== undefined && !mayRead(member, message.id))) continue;
    found.push(messageSeen(world, place, message));
  }
  return found.reverse();
}

/** What a person sees of a message, as docs/contract.md's `GET /local/messages` shows it; the sender of what is written in the name of the chat is the chat. */
export function messageSeen(
  world: World,
  place: Place,
  { id, from, anonymous, at, text, extra, editedAt, service }: ChatMessage,
): WireMessage {
  const { media, reply_markup: markup } = extra;
  const isChats = place.chat?.type === 'channel' || anonymous === true;
  const sender = isChats ? placeJson(world, place) : userJsonOf(world, from);
  return {
    messageId: id,
    from: JSON.parse(sender) as WireUser,
    date: Math.floor(at / 1000),
    ...contentSeen(place.bot, text, media),
    ...(extra.entities !== undefined && { entities: extra.entities as WireEntity[] }),
    ...(extra.caption_entities !== undefined && { captionEntities: extra.caption_entities as WireEntity[] }),
    ...(isObject(markup) && { replyMarkup: markup as WireMarkup }),
    ...(editedAt !== undefined && { editDate: Math.floor(editedAt / 1000) }),
    ...(typeof extra.reply_to === 'number' && { replyTo: extra.reply_to }),
    ...(service === true && { service: serviceSeen(world, extra) }),
  };
}

function serviceSeen(world: World, extra: MessageExtra): WireService {
  const user = (id: unknown): WireUser => JSON.parse(userJsonOf(world, Number(id))) as WireUser;
  const { new_chat_members: joined, left_chat_member: left, pinned_message: pinned } = extra;
  return {
    ...(Array.isArray(joined) && { joined: joined.map(user) }),
    ...(left !== undefined && { left: user(left) }),
    ...(typeof pinned === 'number' && { pinned }),
    ...((extra.migrate_to_chat_id ?? extra.migrate_from_chat_id) !== undefined && { upgraded: true }),
  };
}

/** The text, or the photo or document with its caption; ids of files are those of the bot whose private chat it is, else nobody's. */
function contentSeen(bot: Bot | undefined, text: string, media: Media | undefined): Partial<WireMessage> {
  if (media === undefined) return text === '' ? {} : { text };
  const caption = text === '' ? {} : { caption: text };
  return media.kind === 'photo'
    ? { photo: photoSizes(bot, media), ...caption }
    : { document: documentValue(bot, media), ...caption };
}
