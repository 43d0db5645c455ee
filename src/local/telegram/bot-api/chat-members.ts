import type { Bot } from '../world/bot.js';
import { isAdministrator, memberCount, standing, standings } from '../world/chats.js';
import type { World } from '../world/world.js';
import type { BotArguments } from './arguments.js';
import { findChat } from './find-chat.js';
import { isKnownUser, readUserId } from './find-user.js';
import { memberJson } from './member-json.js';
import { userJsonOf } from './message-json.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

/** getChatMember: the ChatMember; of someone who never was there, that he is not in. Never throws. */
export function getChatMember(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const user = readUserId(args);
  if (user instanceof BotRefusal) return user;
  const botId = bot.making.id;
  const target = findChat(world, bot, args, user === botId ? 'look' : 'lookAtMembers', now);
  if (target instanceof BotRefusal) return target;
  const { chat, id } = target;
  if (chat === undefined) {
    if (user !== botId && user !== id) return REFUSALS.memberNotFound;
    return `{"user":${userJsonOf(world, user)},"status":"member"}`;
  }
  if (!isKnownUser(world, user)) return REFUSALS.memberNotFound;
  return memberJson(world, chat, user, standing(chat, user, now), botId);
}

/** getChatMemberCount: how many are in the chat, bots too. Never throws. */
export function getChatMemberCount(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const target = findChat(world, bot, args, 'lookAtMembers', now);
  if (target instanceof BotRefusal) return target;
  return target.chat === undefined ? '2' : String(memberCount(target.chat, now));
}

/** getChatAdministrators: the owner first; other bots are left out. Never throws. */
export function getChatAdministrators(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const target = findChat(world, bot, args, 'lookAtMembers', now);
  if (target instanceof BotRefusal) return target;
  const { chat } = target;
  if (chat === undefined) return badRequest('there are no administrators in the private chat');
  const botId = bot.making.id;
  const found = [...standings(chat, now)]
    .filter(([user, member]) => isAdministrator(member) && (user === botId || !world.state.bots.has(user)))
    .map(([user, member]) => memberJson(world, chat, user, member, botId));
  return `[${found.join(',')}]`;
}
