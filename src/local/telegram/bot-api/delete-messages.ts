import type { Bot } from '../world/bot.js';
import { deleteMessages, type LocatedMessage, pinMessage } from '../world/chat-messages.js';
import { hasRight, isAdministrator, isPermitted, standing } from '../world/chats.js';
import type { World } from '../world/world.js';
import { type BotArguments, integerArgument, jsonArgument, textArgument, UNREADABLE_JSON } from './arguments.js';
import { findChat, type Target } from './find-chat.js';
import { findMessage, locateMessage } from './find-message.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

const DELETABLE_MS = 48 * 3600 * 1000;
const IDS_MAX = 100;

/** deleteMessage: for everyone. Never throws. */
export function deleteMessage(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  if (textArgument(args, 'chat_id') === '') return badRequest('chat identifier is not specified');
  if ((integerArgument(args, 'message_id') ?? 0) === 0) return REFUSALS.messageIdMissing;
  const found = findMessage(world, bot, args, 'act', 'message to delete', now);
  if (found instanceof BotRefusal) return found;
  const fault = deletionFault(bot, found.target, found, now);
  if (fault !== undefined) return fault;
  deleteMessages(world, found.target, [found], now);
  return 'true';
}

/** deleteMessages: all that exist of up to 100, or none when one of them can't be deleted. Never throws. */
export function deleteManyMessages(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const ids = readIds(args);
  if (ids instanceof BotRefusal) return ids;
  const target = findChat(world, bot, args, 'act', now);
  if (target instanceof BotRefusal) return target;
  const found: LocatedMessage[] = [];
  for (const id of new Set(ids)) {
    const located = locateMessage(world, bot, target, id, now);
    if (located === undefined) continue;
    const fault = deletionFault(bot, target, located, now);
    if (fault !== undefined) return fault;
    found.push(located);
  }
  deleteMessages(world, target, found, now);
  return 'true';
}

function readIds(args: BotArguments): number[] | BotRefusal {
  const given = jsonArgument(args, 'message_ids');
  if (given === undefined) return badRequest('message identifiers are not specified');
  if (given === UNREADABLE_JSON) return badRequest("can't parse message identifiers JSON object");
  if (!Array.isArray(given)) return badRequest('expected an Array of message identifiers');
  if (given.length > IDS_MAX) return badRequest('too many message identifiers specified');
  if (given.length === 0) return badRequest('message identifiers are not specified');
  const ids: number[] = [];
  for (const value of given as unknown[]) {
    const id = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id <= 0) {
      return badRequest('invalid message identifier specified');
    }
    ids.push(id);
  }
  return ids;
}

/** Why a bot can't delete a message, if so: it is older than 48 hours, or the bot lacks the right. */
function deletionFault(bot: Bot, { chat }: Target, { message }: LocatedMessage, now: number): BotRefusal | undefined {
  const isOwn = message.from === bot.making.id;
  const isOld = now - message.at >= DELETABLE_MS;
  if (chat === undefined) return isOld ? REFUSALS.notDeletableForAll : undefined;
  const member = standing(chat, bot.making.id, now);
  if (chat.type === 'group') {
    return isOld || !(isOwn || isAdministrator(member)) ? REFUSALS.notDeletableForAll : undefined;
  }
  // The first message of a supergroup or channel tells of its making or migration.
  if (isOld || message.extra.migrate_from_chat_id !== undefined) return REFUSALS.notDeletable;
  if (hasRight(member, 'can_delete_messages')) return undefined;
  const mayDelete =
    isOwn && (chat.type === 'supergroup' ? message.service !== true : hasRight(member, 'can_post_messages'));
  return mayDelete ? undefined : REFUSALS.notDeletable;
}

/** pinChatMessage: a service message tells of it. Never throws. */
export function pinChatMessage(world: World, bot: Bot, args: BotArguments, now: number): string | BotRefusal {
  const found = findMessage(world, bot, args, 'act', 'message to pin', now);
  if (found instanceof BotRefusal) return found;
  const { target, message } = found;
  if (!mayPin(bot, target, now)) return REFUSALS.noRightToPin;
  if (message.service === true) return badRequest("message can't be pinned");
  pinMessage(world, target, message.id, bot.making.id, now);
  return 'true';
}

function mayPin(bot: Bot, { chat }: Target, now: number): boolean {
  if (chat === undefined) return true;
  const member = standing(chat, bot.making.id, now);
  if (chat.type === 'channel') return hasRight(member, 'can_edit_messages');
  if (isAdministrator(member)) return hasRight(member, 'can_pin_messages');
  return chat.type === 'supergroup' && isPermitted(chat, member, 'can_pin_messages');
}
