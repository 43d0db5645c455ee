import type { Bot } from '../world/bot.js';
import { type Chat, isPresent, type Member, standing } from '../world/chats.js';
import type { PeopleRange } from '../world/people.js';
import type { World } from '../world/world.js';
import { type BotArguments, integerArgument, textArgument } from './arguments.js';
import { type BotRefusal, REFUSALS, upgraded } from './refusal.js';

/** A bot's private chat with a person, and the range that the person was made in. */
export interface PrivateTarget {
  readonly id: number;
  readonly bot: Bot;
  readonly range: PeopleRange;
  readonly chat?: undefined;
}

/** A group, supergroup or channel. */
export interface ChatTarget {
  readonly id: number;
  readonly chat: Chat;
  readonly bot?: undefined;
}

/** The chat that a call is about; it is a `Place` too. */
export type Target = PrivateTarget | ChatTarget;

/** What a call is going to do in a chat: look at it, at its members, edit a message, or act in it (send, delete, govern). */
export type Access = 'look' | 'lookAtMembers' | 'edit' | 'act';

/**
 * The chat that `chat_id` names (a number, digits, or the @username of a supergroup or channel), if the bot may do there what it is about to,
 * else Telegram's refusal: a bot knows by their ids the chats that it is or was in. Never throws.
 */
export function findChat(world: World, bot: Bot, args: BotArguments, access: Access, now: number): Target | BotRefusal {
  const id = integerArgument(args, 'chat_id');
  if (id === undefined) {
    const text = textArgument(args, 'chat_id').trim();
    if (text === '') return REFUSALS.chatEmpty;
    const named = text.startsWith('@') ? world.state.chats.byUsername.get(text.slice(1).toLowerCase()) : undefined;
    return named === undefined ? REFUSALS.chatNotFound : accessTo(bot, named, access, now);
  }
  if (id < 0) {
    const chat = world.state.chats.byId.get(id);
    return chat?.members.has(bot.making.id) ? accessTo(bot, chat, access, now) : REFUSALS.chatNotFound;
  }
  const range = world.state.people.find(id);
  if (range !== undefined) {
    const isGone = world.state.people.deactivated.has(id) && access !== 'look' && access !== 'lookAtMembers';
    return isGone ? REFUSALS.deactivated : { id, bot, range };
  }
  const isToBot = access === 'act' && world.state.bots.has(id) && id !== bot.making.id;
  return isToBot ? REFUSALS.toBot : REFUSALS.chatNotFound;
}

function accessTo(bot: Bot, chat: Chat, access: Access, now: number): ChatTarget | BotRefusal {
  const { id, type } = chat;
  const member = standing(chat, bot.making.id, now);
  if (type === 'group') return groupFault(chat, member, access) ?? { id, chat };
  if (member.status === 'kicked' || chat.deleted) return REFUSALS.kickedFrom[type];
  const isOpen = chat.username !== undefined && (access === 'look' || access === 'lookAtMembers');
  return isPresent(member) || isOpen ? { id, chat } : REFUSALS.notMemberOf[type];
}

/** A group that is no more can still be looked at, and its messages be edited. */
function groupFault(chat: Chat, member: Member, access: Access): BotRefusal | undefined {
  if (access === 'look') return undefined;
  const isGone = chat.upgradedTo !== 0 || chat.deleted;
  if (isGone) {
    if (access === 'edit') return undefined;
    return chat.upgradedTo === 0 ? REFUSALS.groupDeleted : upgraded(chat.upgradedTo);
  }
  if (member.status === 'kicked') return REFUSALS.kickedFrom.group;
  return isPresent(member) ? undefined : REFUSALS.notMemberOf.group;
}
