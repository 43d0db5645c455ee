import type { Bot } from '../world/bot.js';
import type { LocatedMessage } from '../world/chat-messages.js';
import { isPresent, standing } from '../world/chats.js';
import type { World } from '../world/world.js';
import { type BotArguments, integerArgument } from './arguments.js';
import { type Access, findChat, type Target } from './find-chat.js';
import { BotRefusal, badRequest } from './refusal.js';

/** A message of a chat that the bot has access to. */
export interface TargetMessage extends LocatedMessage {
  readonly target: Target;
}

/** The message that `chat_id` and `message_id` name, or Telegram's refusal; `what` is what the refusal calls it, like `message to edit`. Never throws. */
export function findMessage(
  world: World,
  bot: Bot,
  args: BotArguments,
  access: Access,
  what: string,
  now: number,
): TargetMessage | BotRefusal {
  const target = findChat(world, bot, args, access, now);
  if (target instanceof BotRefusal) return target;
  const located = locateMessage(world, bot, target, integerArgument(args, 'message_id') ?? 0, now);
  return located === undefined ? badRequest(`${what} not found`) : { ...located, target };
}

/** A message that a bot can get at: in a supergroup or channel only while it is there. Never throws. */
export function locateMessage(
  world: World,
  bot: Bot,
  target: Target,
  id: number,
  now: number,
): LocatedMessage | undefined {
  const { chat } = target;
  const hasAccess = chat === undefined || chat.type === 'group' || isPresent(standing(chat, bot.making.id, now));
  return hasAccess && id > 0 ? world.messages.locate(target, id) : undefined;
}
