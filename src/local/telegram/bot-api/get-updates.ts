import type { AnswerPlace } from '../http/listener.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { setAllowed } from './allowed-updates.js';
import { type BotArguments, integerArgument } from './arguments.js';
import { type BotRefusal, REFUSALS } from './refusal.js';
import type { UpdatePolls } from './update-polls.js';

const LIMIT = 100;
const TIMEOUT_MAX_S = 50;

/** getUpdates: forgets what is confirmed, keeps `allowed_updates` and begins the poll, which answers by itself; or why not. Never throws. */
export function getUpdates(
  world: World,
  polls: UpdatePolls,
  bot: Bot,
  args: BotArguments,
  exchange: AnswerPlace,
): BotRefusal | undefined {
  if (bot.settings.webhook !== undefined) return REFUSALS.webhookActive;
  setAllowed(world, bot, args);
  const offset = integerArgument(args, 'offset') ?? 0;
  const limit = clamp(integerArgument(args, 'limit') ?? LIMIT, 1, LIMIT);
  const timeoutS = clamp(integerArgument(args, 'timeout') ?? 0, 0, TIMEOUT_MAX_S);
  if (offset > 0) world.confirm(bot, Math.min(offset, bot.queue.nextId));
  else if (offset < 0) world.confirm(bot, bot.queue.idOfNewest(-offset));
  polls.begin(bot, exchange, limit, timeoutS * 1000);
  return undefined;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}
