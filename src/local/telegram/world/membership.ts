import type { ChatEvent } from './chat-events.js';
import { serviceMessage } from './chat-messages.js';
import {
  type Chat,
  type ChatMaking,
  type ChatType,
  isPresent,
  LEFT,
  type Member,
  PLAIN_MEMBER,
  standing,
} from './chats.js';
import type { World } from './world.js';

/** How someone came to his new standing, if not by mere will: the invite link, and whether a request of his was approved. */
export interface MemberWay {
  readonly link?: string;
  readonly viaRequest?: boolean;
}

/** Makes a chat with its owner alone; returns it. Never throws. */
export function makeChat(
  world: World,
  wish: { type: ChatType; title: string; ownerId: number; username?: string | undefined },
  now: number,
): Chat {
  const { type, title, ownerId, username } = wish;
  const making = { ...nextIds(world, type), type, title, ownerId, ...(username !== undefined && { username }) };
  world.happen(now, { kind: 'made', making });
  return chatOf(world, making);
}

/**
 * Changes someone's standing in a chat, `by` whom; who comes or goes is told of by a service message in groups, and a request of his to join is
 * dealt with by it. Returns whether anything changed. Rights are the caller's to check. Never throws.
 */
export function setStanding(
  world: World,
  chat: Chat,
  user: number,
  by: number,
  next: Member,
  now: number,
  way: MemberWay = {},
): boolean {
  const old = standing(chat, user, now);
  if (JSON.stringify(old) === JSON.stringify(next)) return false;
  const change: ChatEvent = { kind: 'member', change: { chat: chat.id, user, by, old, new: next, ...way } };
  const comes = isPresent(next) && !isPresent(old);
  const goes = isPresent(old) && !isPresent(next);
  const events: ChatEvent[] = [change];
  if (chat.type !== 'channel') {
    const place = { id: chat.id, chat };
    const author = way.viaRequest === true ? user : by;
    if (comes) events.push(serviceMessage(place, author, { new_chat_members: [user] }, now));
    // Before he is gone, so that a bot sees itself go.
    if (goes) events.unshift(serviceMessage(place, by, { left_chat_member: user }, now));
  }
  const isDealtWith = chat.requests.has(user) && (comes || next.status === 'kicked');
  if (isDealtWith) events.push({ kind: 'answered', chat: chat.id, user });
  world.happen(now, ...events);
  return true;
}

/** The standing of someone who comes into a chat, by an invite link or without one; restrictions outlast his absence. Never throws. */
export function enteredStanding(chat: Chat, user: number, now: number, link?: string): Member {
  const old = standing(chat, user, now);
  const way = link === undefined ? {} : { link };
  if (old.status === 'restricted') return { ...old, present: true, ...way };
  return link === undefined ? PLAIN_MEMBER : { ...PLAIN_MEMBER, ...way };
}

/** The standing of someone who goes from a chat; in a group he keeps what was written until then, unless that is taken from him too. Never throws. */
export function leftStanding(chat: Chat, isRevoked: boolean): Member {
  return chat.type === 'group' && !isRevoked ? { ...LEFT, seesBelow: chat.nextMessageId } : LEFT;
}

/** Turns a group into a supergroup with the same members; a message in each tells of it. Returns the supergroup. Never throws. */
export function upgradeChat(world: World, chat: Chat, now: number): Chat {
  const { title, ownerId } = chat.making;
  const making: ChatMaking = { ...nextIds(world, 'supergroup'), type: 'supergroup', title, ownerId };
  const first = { chat: making.id, id: 1, from: ownerId, at: now, before: 0, text: '', service: true };
  world.happen(
    now,
    serviceMessage({ id: chat.id, chat }, ownerId, { migrate_to_chat_id: making.id }, now),
    { kind: 'upgraded', chat: chat.id, making },
    { kind: 'written', message: { ...first, extra: { migrate_from_chat_id: chat.id } } },
  );
  return chatOf(world, making);
}

/** Deletes a chat for everyone. Never throws. */
export function deleteChat(world: World, chat: Chat, now: number): void {
  world.happen(now, { kind: 'closed', chat: chat.id });
}

function nextIds({ state: { chats } }: World, type: ChatType): { id: number; index: number } {
  return { id: type === 'group' ? chats.nextGroupId : chats.nextSupergroupId, index: chats.nextIndex };
}

function chatOf(world: World, { id }: ChatMaking): Chat {
  const chat = world.state.chats.byId.get(id);
  if (chat === undefined) throw new Error(`chat ${id} was not made`);
  return chat;
}
