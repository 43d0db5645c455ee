import type { ChatEvent } from './chat-events.js';
import { serviceMessage } from './chat-messages.js';
import { type Chat, type ChatType, isPresent, type Member, standing } from './chats.js';
import type { World } from './world.js';

/** Makes a chat with its owner alone; returns it. Never throws. */
export function makeChat(
  world: World,
  wish: { type: ChatType; title: string; ownerId: number; username?: string | undefined },
  now: number,
): Chat {
  const { chats } = world.state;
  const id = wish.type === 'group' ? chats.nextGroupId : chats.nextSupergroupId;
  const { type, title, ownerId, username } = wish;
  const making = { id, index: chats.nextIndex, type, title, ownerId, ...(username !== undefined && { username }) };
  world.happen(now, { kind: 'made', making });
  const chat = chats.byId.get(id);
  if (chat === undefined) throw new Error(`chat ${id} was not made`);
  return chat;
}

/**
 * Changes someone's standing in a chat, `by` whom; who comes or goes is told of by a service message in groups. Returns whether anything
 * changed. Rights are the caller's to check. Never throws.
 */
export function setStanding(world: World, chat: Chat, user: number, by: number, next: Member, now: number): boolean {
  const old = standing(chat, user, now);
  if (JSON.stringify(old) === JSON.stringify(next)) return false;
  const change: ChatEvent = { kind: 'member', change: { chat: chat.id, user, by, old, new: next } };
  if (chat.type === 'channel' || isPresent(old) === isPresent(next)) world.happen(now, change);
  else if (isPresent(next)) {
    world.happen(now, change, serviceMessage({ id: chat.id, chat }, by, { new_chat_members: [user] }, now));
  } else {
    // In this order, so that a bot that goes sees itself go.
    world.happen(now, serviceMessage({ id: chat.id, chat }, by, { left_chat_member: user }, now), change);
  }
  return true;
}
