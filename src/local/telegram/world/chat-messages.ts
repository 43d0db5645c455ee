import type { ChatEvent, ChatMessage } from './chat-events.js';
import { isAnonymous, nextMessageId, standing } from './chats.js';
import { newestIn, type Place } from './place.js';
import type { MessageExtra } from './record.js';
import type { World } from './world.js';

/** A message that exists, with the journal offset of the record that it was written by. */
export interface LocatedMessage {
  readonly message: ChatMessage;
  readonly first: number;
}

/** What a message says. */
export interface MessageContent {
  readonly text: string;
  readonly extra: MessageExtra;
}

/** The next message of a place, without its content. Never throws. */
export function newMessage(place: Place, from: number, now: number): Omit<ChatMessage, 'text' | 'extra'> {
  const { chat, bot, id } = place;
  const head =
    chat === undefined
      ? { chat: id, id: bot.nextMessageId, bot: bot.making.id }
      : { chat: id, id: nextMessageId(chat, now) };
  return { ...head, from, at: now, before: newestIn(place) };
}

/** A message that tells of an event, by the one who brought it about. Never throws. */
export function serviceMessage(place: Place, from: number, extra: MessageExtra, now: number): ChatEvent {
  return { kind: 'written', message: { ...newMessage(place, from, now), text: '', extra, service: true } };
}

/** The message that writes this content, in answer to another or not. Never throws. */
export function contentMessage(
  place: Place,
  from: number,
  { text, extra }: MessageContent,
  reply: ChatMessage | undefined,
  now: number,
): ChatMessage {
  return {
    ...newMessage(place, from, now),
    text,
    extra: reply === undefined ? extra : { ...extra, reply_to: reply.id },
    ...(place.chat !== undefined && isAnonymous(standing(place.chat, from, now)) && { anonymous: true }),
    ...(reply !== undefined && { repliesTo: reply.from }),
  };
}

/** Puts new content in the place of a message's; what it replies to stays. `editedAt` absent: as before. Returns the new version. Never throws. */
export function editMessage(
  world: World,
  { message, first }: LocatedMessage,
  { text, extra }: MessageContent,
  editedAt: number | undefined,
  now: number,
): ChatMessage {
  const { reply_to: replyTo } = message.extra;
  const next: ChatMessage = {
    ...message,
    text,
    extra: replyTo === undefined ? extra : { ...extra, reply_to: replyTo },
    ...(editedAt !== undefined && { editedAt }),
  };
  world.happen(now, { kind: 'edited', message: next, first });
  return next;
}

/** Deletes messages for everyone; pins of theirs go with them. Never throws. */
export function deleteMessages(world: World, place: Place, found: readonly LocatedMessage[], now: number): void {
  if (found.length === 0) return;
  const scope = scopeOf(place);
  const gone = new Set(found.map(({ message }) => message.id));
  const pins = pinnedIn(place);
  const left = pins.filter((id) => !gone.has(id));
  const deleted: ChatEvent = {
    kind: 'deleted',
    ...scope,
    messages: found.map(({ message, first }) => [message.id, first] as const),
  };
  if (left.length === pins.length) world.happen(now, deleted);
  else world.happen(now, deleted, { kind: 'pinned', ...scope, ids: left });
}

/** Pins a message, which a service message tells of; one that is pinned already stays as it is. Never throws. */
export function pinMessage(world: World, place: Place, id: number, by: number, now: number): void {
  const pins = pinnedIn(place);
  if (pins.includes(id)) return;
  world.happen(
    now,
    { kind: 'pinned', ...scopeOf(place), ids: [...pins, id] },
    serviceMessage(place, by, { pinned_message: id }, now),
  );
}

/** Ids of the messages pinned in a place, the newest pin last. Never throws. */
export function pinnedIn({ chat, bot, id }: Place): readonly number[] {
  return chat === undefined ? (bot.pinned.get(id) ?? []) : chat.pinned;
}

function scopeOf({ bot, id }: Place): { chat: number; bot?: number } {
  return bot === undefined ? { chat: id } : { chat: id, bot: bot.making.id };
}
