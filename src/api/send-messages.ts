import { z } from 'zod';
import { chosenBot } from './bot-choice.js';
import { checked } from './checked.js';
import { idempotencyOf } from './idempotency.js';
import { message, newMessage } from './message.js';
import { wrongInput } from './problem.js';
import type { Services } from './services.js';

/** Most messages of one request. */
export const MAX_MESSAGES = 1_000;
const MESSAGES = '1–1,000 messages';

const body = z.strictObject(
  { messages: z.array(message, MESSAGES).min(1, MESSAGES).max(MAX_MESSAGES, MESSAGES) },
  'an object with messages',
);

/**
 * POST /api/send_messages: accepts `{"messages":[…]}`, 1–1,000 of one bot, all or none, in order; resolves once they are in the store.
 * Throws a Problem: 400 that names the fields, 409, 413, 503.
 */
export async function sendMessages(
  services: Services,
  input: unknown,
  idempotencyKey?: string,
): Promise<{ ids: string[] }> {
  const { messages } = checked(body, input);
  const idempotency = idempotencyOf('send_messages', idempotencyKey, input);
  const bots = await services.bots();
  const named = messages.findIndex(({ botId }) => botId !== undefined);
  const bot = await chosenBot(services, messages[named]?.botId, `messages[${Math.max(named, 0)}].botId`);
  const strangers = messages.flatMap(({ botId }, index) =>
    (botId ?? bots.first) === bot
      ? []
      : [{ field: `messages[${index}].botId`, expected: 'one bot for all messages of a request' }],
  );
  if (strangers.length > 0) throw wrongInput(strangers.slice(0, 100));
  return services.acceptance.messages(bot, messages.map(newMessage), idempotency);
}
