import type { Bot } from '../world/bot.js';
import { type Chat, hasRight, type InviteLink, isPresent, standing } from '../world/chats.js';
import {
  answerRequest,
  changeLink,
  type LinkWish,
  makeLink,
  pendingOf,
  replacePrimaryLink,
  revokeLink,
} from '../world/invite-links.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument, integerArgument, textArgument } from './arguments.js';
import { findChat } from './find-chat.js';
import { readUserId } from './find-user.js';
import { userJsonOf } from './message-json.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

const NAME_MAX = 32;
const MEMBER_LIMIT_MAX = 99_999;

/** createChatInviteLink: the ChatInviteLink. Never throws. */
export function createChatInviteLink(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const chat = findLinked(world, bot, args, now);
  if (chat instanceof BotRefusal) return chat;
  const wish = readWish(args, now);
  if (wish instanceof BotRefusal) return wish;
  return linkJson(world, chat, makeLink(world, chat, bot.making.id, wish, now), bot.making.id);
}

/** editChatInviteLink: the ChatInviteLink as it is now; only of links that the bot made and that are no primary ones. Never throws. */
export function editChatInviteLink(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const chat = findLinked(world, bot, args, now);
  if (chat instanceof BotRefusal) return chat;
  const link = findLink(chat, bot, args);
  if (link instanceof BotRefusal) return link;
  if (link.isPrimary) return badRequest('CHAT_INVITE_PERMANENT');
  if (link.isRevoked) return REFUSALS.linkUnknown;
  const wish = readWish(args, now);
  if (wish instanceof BotRefusal) return wish;
  return linkJson(world, chat, changeLink(world, chat, link, wish, now), bot.making.id);
}

/** revokeChatInviteLink: the ChatInviteLink; in the place of a primary one a new one is made. Never throws. */
export function revokeChatInviteLink(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const chat = findLinked(world, bot, args, now);
  if (chat instanceof BotRefusal) return chat;
  const link = findLink(chat, bot, args);
  if (link instanceof BotRefusal) return link;
  return linkJson(world, chat, link.isRevoked ? link : revokeLink(world, chat, link, now), bot.making.id);
}

/** exportChatInviteLink: the bot's new primary link as a string; the one before is revoked. Never throws. */
export function exportChatInviteLink(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const chat = findLinked(world, bot, args, now);
  if (chat instanceof BotRefusal) return chat;
  return JSON.stringify(replacePrimaryLink(world, chat, bot.making.id, now).link);
}

/** approveChatJoinRequest. Never throws. */
export function approveChatJoinRequest(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  return answerJoinRequest(world, bot, args, true, now);
}

/** declineChatJoinRequest. Never throws. */
export function declineChatJoinRequest(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  return answerJoinRequest(world, bot, args, false, now);
}

function answerJoinRequest(
  world: World,
  bot: Bot,
  args: BotArguments,
  isApproved: boolean,
  now: number,
): string | BotRefusal {
  const user = readUserId(args);
  if (user instanceof BotRefusal) return user;
  const chat = findInviting(world, bot, args, REFUSALS.noRightToRequests, now);
  if (chat instanceof BotRefusal) return chat;
  if (isPresent(standing(chat, user, now))) return badRequest('USER_ALREADY_PARTICIPANT');
  if (!chat.requests.has(user)) return badRequest('HIDE_REQUESTER_MISSING');
  answerRequest(world, chat, user, bot.making.id, isApproved, now);
  return 'true';
}

/** An invite link as the Bot API's ChatInviteLink, in JSON; the end of one that another administrator made is hidden from the viewer. Never throws. */
export function linkJson(world: World, chat: Chat, link: InviteLink, viewer: number): string {
  const { creator, name, expireDate, memberLimit, createsJoinRequest, isPrimary, isRevoked } = link;
  const pending = pendingOf(chat, link);
  const text = creator === viewer ? link.link : `${link.link.slice(0, link.link.length - 8)}…`;
  return (
    `{"invite_link":${JSON.stringify(text)}${name === '' ? '' : `,"name":${JSON.stringify(name)}`},"creator":${userJsonOf(world, creator)}` +
    `${expireDate === 0 ? '' : `,"expire_date":${expireDate}`}${memberLimit === 0 ? '' : `,"member_limit":${memberLimit}`}` +
    `${pending === 0 ? '' : `,"pending_join_request_count":${pending}`}` +
    `,"creates_join_request":${createsJoinRequest},"is_primary":${isPrimary},"is_revoked":${isRevoked}}`
  );
}

function findLinked(world: World, bot: Bot, args: BotArguments, now: number): Chat | BotRefusal {
  return findInviting(world, bot, args, REFUSALS.noRightToLinks, now);
}

/** The chat of a call that needs the right to invite. */
function findInviting(world: World, bot: Bot, args: BotArguments, noRight: BotRefusal, now: number): Chat | BotRefusal {
  const target = findChat(world, bot, args, 'act', now);
  if (target instanceof BotRefusal) return target;
  const { chat } = target;
  if (chat === undefined) return badRequest("can't invite members to a private chat");
  return hasRight(standing(chat, bot.making.id, now), 'can_invite_users') ? chat : noRight;
}

function findLink(chat: Chat, bot: Bot, args: BotArguments): InviteLink | BotRefusal {
  const text = textArgument(args, 'invite_link').trim();
  if (text === '') return badRequest('invite link must be non-empty');
  const link = chat.links.get(text);
  return link === undefined || link.creator !== bot.making.id ? REFUSALS.linkUnknown : link;
}

function readWish(args: BotArguments, now: number): LinkWish | BotRefusal {
  const expireDate = Math.max(0, integerArgument(args, 'expire_date') ?? 0);
  const memberLimit = Math.min(MEMBER_LIMIT_MAX, Math.max(0, integerArgument(args, 'member_limit') ?? 0));
  const createsJoinRequest = flagArgument(args, 'creates_join_request');
  if (createsJoinRequest && memberLimit > 0) {
    return badRequest("member limit can't be specified for links requiring administrator approval");
  }
  if (expireDate !== 0 && expireDate * 1000 <= now) return badRequest('EXPIRE_DATE_INVALID');
  const name = [...textArgument(args, 'name').trim()].slice(0, NAME_MAX).join('');
  return { name, expireDate, memberLimit, createsJoinRequest };
}
