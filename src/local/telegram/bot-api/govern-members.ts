import type { Bot } from '../world/bot.js';
import {
  type AdminRight,
  type Chat,
  hasRight,
  isAdministrator,
  isPresent,
  LEFT,
  type Member,
  PERMISSIONS,
  PLAIN_MEMBER,
  rightsOf,
  standing,
} from '../world/chats.js';
import { leftStanding, setStanding } from '../world/membership.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument, integerArgument } from './arguments.js';
import { readPermissions } from './chat-permissions.js';
import { findChat, type Target } from './find-chat.js';
import { isKnownUser, readUserId } from './find-user.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

const BAN_MIN_S = 30;
const BAN_MAX_S = 366 * 24 * 3600;

/** A member whom a call is about. */
interface Governed {
  readonly chat: Chat;
  readonly user: number;
  readonly old: Member;
}

/** banChatMember (kickChatMember): out, and in supergroups and channels barred, until a date or for ever. Never throws. */
export function banChatMember(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const found = findGoverned(world, bot, args, "can't ban members in private chats", now);
  if (found instanceof BotRefusal) return found;
  const { chat, user, old } = found;
  const fault = restrictFault(bot, found, now);
  if (fault !== undefined) return fault;
  if (chat.type !== 'group') {
    setStanding(world, chat, user, bot.making.id, { status: 'kicked', until: readUntil(args, now) }, now);
  } else if (isPresent(old)) {
    // A basic group has no list of the banned: people may come back. A bot knows that it was put out.
    const isBot = world.state.bots.has(user);
    const next: Member = isBot
      ? { status: 'kicked', until: 0 }
      : leftStanding(chat, flagArgument(args, 'revoke_messages'));
    setStanding(world, chat, user, bot.making.id, next, now);
  }
  return 'true';
}

/** unbanChatMember: lets someone come again; without `only_if_banned` one who is in is put out. Never throws. */
export function unbanChatMember(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const found = findGoverned(world, bot, args, REFUSALS.supergroupsAndChannels, now);
  if (found instanceof BotRefusal) return found;
  const { chat, user, old } = found;
  if (chat.type === 'group') return REFUSALS.supergroupsAndChannels;
  if (flagArgument(args, 'only_if_banned') && old.status !== 'kicked') return 'true';
  const fault = restrictFault(bot, found, now);
  if (fault !== undefined) return fault;
  setStanding(world, chat, user, bot.making.id, LEFT, now);
  return 'true';
}

/** restrictChatMember: takes permissions away until a date or for ever; with all of them the restriction ends. Never throws. */
export function restrictChatMember(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const user = readUserId(args);
  if (user instanceof BotRefusal) return user;
  const permissions = readPermissions(args);
  if (permissions instanceof BotRefusal) return permissions;
  const found = findGoverned(world, bot, args, REFUSALS.supergroupsOnly, now);
  if (found instanceof BotRefusal) return found;
  const { chat, old } = found;
  if (chat.type !== 'supergroup') return REFUSALS.supergroupsOnly;
  const fault = restrictFault(bot, found, now);
  if (fault !== undefined) return fault;
  const allowed = permissions(old.status === 'restricted' ? (old.permissions ?? []) : PERMISSIONS);
  const present = isPresent(old);
  const restricted: Member = { status: 'restricted', permissions: allowed, present, until: readUntil(args, now) };
  const free = present ? PLAIN_MEMBER : LEFT;
  setStanding(world, chat, user, bot.making.id, allowed.length === PERMISSIONS.length ? free : restricted, now);
  return 'true';
}

/** promoteChatMember: gives a member the rights that are asked for, none of them makes him a plain member again. Never throws. */
export function promoteChatMember(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const found = findGoverned(world, bot, args, REFUSALS.supergroupsAndChannels, now);
  if (found instanceof BotRefusal) return found;
  const { chat, user, old } = found;
  if (chat.type === 'group') return REFUSALS.supergroupsAndChannels;
  const botId = bot.making.id;
  const own = standing(chat, botId, now);
  if (old.status === 'creator') return REFUSALS.ownerStays;
  if (user === botId) return badRequest("can't promote self");
  if (!hasRight(own, 'can_promote_members')) return badRequest('not enough rights');
  if (old.status === 'administrator' && old.promotedBy !== botId) return badRequest('CHAT_ADMIN_REQUIRED');
  if (!isPresent(old)) return badRequest('USER_NOT_PARTICIPANT');
  const rights = readRights(chat, args);
  if (rights.some((right) => !hasRight(own, right))) return badRequest('RIGHT_FORBIDDEN');
  if (rights.length > 0) {
    const next: Member = { status: 'administrator', rights, promotedBy: botId };
    setStanding(world, chat, user, botId, next, now);
  } else if (isAdministrator(old)) setStanding(world, chat, user, botId, PLAIN_MEMBER, now);
  return 'true';
}

/** leaveChat. Never throws. */
export function leaveChat(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const target = findChat(world, bot, args, 'look', now);
  if (target instanceof BotRefusal) return target;
  const { chat } = target;
  if (chat === undefined) return badRequest("chat member status can't be changed in private chats");
  const botId = bot.making.id;
  if (isPresent(standing(chat, botId, now)) && !chat.deleted && chat.upgradedTo === 0) {
    setStanding(world, chat, botId, botId, LEFT, now);
  }
  return 'true';
}

function findGoverned(
  world: World,
  bot: Bot,
  args: BotArguments,
  inPrivate: string | BotRefusal,
  now: number,
): Governed | BotRefusal {
  const user = readUserId(args);
  if (user instanceof BotRefusal) return user;
  const target: Target | BotRefusal = findChat(world, bot, args, 'act', now);
  if (target instanceof BotRefusal) return target;
  const { chat } = target;
  if (chat === undefined) return typeof inPrivate === 'string' ? badRequest(inPrivate) : inPrivate;
  if (!isKnownUser(world, user)) return REFUSALS.memberNotFound;
  return { chat, user, old: standing(chat, user, now) };
}

/** Why a bot can't ban, unban or restrict someone, if so. */
function restrictFault(bot: Bot, { chat, user, old }: Governed, now: number): BotRefusal | undefined {
  const botId = bot.making.id;
  if (old.status === 'creator') return REFUSALS.ownerStays;
  if (user === botId) return REFUSALS.notSelf;
  if (!hasRight(standing(chat, botId, now), 'can_restrict_members')) return REFUSALS.noRightToRestrict;
  return old.status === 'administrator' && old.promotedBy !== botId ? REFUSALS.isAdministrator : undefined;
}

/** `until_date` (s); 0, for ever, when it is less than 30 s or more than 366 days away. */
function readUntil(args: BotArguments, now: number): number {
  const until = integerArgument(args, 'until_date') ?? 0;
  const left = until - now / 1000;
  return left < BAN_MIN_S || left > BAN_MAX_S ? 0 : until;
}

/** The rights that are asked for; any of them includes the one to manage the chat. */
function readRights(chat: Chat, args: BotArguments): AdminRight[] {
  const known = rightsOf(chat.type);
  const asked = known.filter(
    (right) =>
      flagArgument(args, right) || (right === 'can_manage_video_chats' && flagArgument(args, 'can_manage_voice_chats')),
  );
  return asked.length === 0 ? [] : known.filter((right) => right === 'can_manage_chat' || asked.includes(right));
}
