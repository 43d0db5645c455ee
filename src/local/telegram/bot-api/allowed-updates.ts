import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, jsonArgument } from './arguments.js';

/** All kinds of updates that the Bot API knows, whether or not they come about here. */
const KINDS = new Set(
  (
    'message edited_message channel_post edited_channel_post business_connection business_message edited_business_message ' +
    'deleted_business_messages message_reaction message_reaction_count inline_query chosen_inline_result callback_query shipping_query ' +
    'pre_checkout_query purchased_paid_media poll poll_answer my_chat_member chat_member chat_join_request chat_boost removed_chat_boost'
  ).split(' '),
);

/**
 * The kinds that `allowed_updates` asks for, [] for the default ones; undefined when it is absent or no array of strings, which leaves the
 * setting as it is. Names in any case; unknown ones are passed over, and of nothing but those comes the default, as in Telegram's server. Never throws.
 */
function readAllowed(args: BotArguments): string[] | undefined {
  const given = jsonArgument(args, 'allowed_updates');
  if (!Array.isArray(given) || !given.every((kind) => typeof kind === 'string')) return undefined;
  return [...new Set((given as string[]).map((kind) => kind.toLowerCase()))].filter((kind) => KINDS.has(kind));
}

/** Keeps what `allowed_updates` asks for, if that is another than before. Never throws. */
export function setAllowed(world: World, bot: Bot, args: BotArguments): void {
  const allowed = readAllowed(args);
  if (allowed === undefined || JSON.stringify(allowed) === JSON.stringify(bot.settings.allowed ?? [])) return;
  world.configure(bot, { ...bot.settings, allowed });
}
