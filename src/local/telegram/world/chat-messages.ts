import type { ChatEvent, ChatMessage } from './chat-events.js';
import { type Chat, nextMessageId } from './chats.js';
import type { MessageExtra } from './record.js';
import type { World } from './world.js';

/** A message that tells of an event, by the one who brought it about. Never throws. */
export function serviceMessage(chat: Chat, from: number, extra: MessageExtra, now: number): ChatEvent {
  return { kind: 'written', message: { ...newMessage(chat, from, now), text: '', extra, service: true } };
}

/** The next message of a chat, without its content. Never throws. */
export function newMessage(chat: Chat, from: number, now: number): Omit<ChatMessage, 'text' | 'extra'> {
  return { chat: chat.id, id: nextMessageId(chat, now), from, at: now, before: chat.newest };
}

/** A person's message in a chat, in answer to another or not; returns its id. Rights are the caller's to check. Never throws. */
export function writeInChat(
  world: World,
  chat: Chat,
  person: number,
  content: { text: string; extra: MessageExtra },
  reply: ChatMessage | undefined,
  now: number,
): number {
  const { text, extra } = content;
  const message = {
    ...newMessage(chat, person, now),
    text,
    extra: reply === undefined ? extra : { ...extra, reply_to: reply.id },
    ...(reply !== undefined && { repliesTo: reply.from }),
  };
  world.happen(now, { kind: 'written', message });
  return message.id;
}
