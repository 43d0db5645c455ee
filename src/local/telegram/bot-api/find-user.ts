import type { World } from '../world/world.js';
import { type BotArguments, integerArgument } from './arguments.js';
import { type BotRefusal, REFUSALS } from './refusal.js';

/** The id that `user_id` gives, or Telegram's refusal; whether it is anyone's is not looked at. Never throws. */
export function readUserId(args: BotArguments): number | BotRefusal {
  const id = integerArgument(args, 'user_id') ?? 0;
  return id > 0 ? id : REFUSALS.userIdInvalid;
}

/** Whether an id is a person's or a bot's. Never throws. */
export function isKnownUser({ state }: World, id: number): boolean {
  return state.bots.has(id) || state.people.find(id) !== undefined;
}
