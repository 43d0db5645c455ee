import { Problem, wrongInput } from './problem.js';
import type { Services } from './services.js';

/** A 503 PH_BOT_NONE: nothing can be accepted before there is a bot. Never throws. */
export function noBot(): Problem {
  return new Problem({
    status: 503,
    code: 'PH_BOT_NONE',
    detail: 'No bot is known yet; a started server adds the first one.',
    retryAfter: 1,
  });
}

/**
 * The bot that a request is for: the one named, else the first. `field` is where the name stood.
 * Throws a Problem: 400 for a bot that is not of this installation, 503 PH_BOT_NONE while there is no bot at all.
 */
export async function chosenBot(services: Services, botId: string | undefined, field = 'botId'): Promise<string> {
  const bots = await services.bots();
  if (bots.first === undefined) throw noBot();
  if (botId === undefined) return bots.first;
  if (!bots.known.has(botId)) throw wrongInput([{ field, expected: 'the id of a bot of this installation' }]);
  return botId;
}
