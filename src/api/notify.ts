import { z } from 'zod';
import { chosenBot } from './bot-choice.js';
import { acceptBroadcast, audience } from './broadcast.js';
import { checked } from './checked.js';
import { idempotencyOf } from './idempotency.js';
import { chatId, content, contentOf, dedupKey, withParts } from './message.js';
import type { Services } from './services.js';

/** Most chats of one request. */
export const MAX_CHAT_IDS = 10_000;
const CHAT_IDS = '1–10,000 chat ids';
const EITHER = 'either chatIds or audience';

const body = z
  .strictObject(
    {
      ...content,
      chatIds: z.array(chatId, CHAT_IDS).min(1, CHAT_IDS).max(MAX_CHAT_IDS, CHAT_IDS).optional(),
      audience: audience.optional(),
      dedupKey: dedupKey.optional(),
    },
    'a message: an object',
  )
  .superRefine((input, context) => {
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if (input.chatIds === undefined && input.audience === undefined) refuse('chatIds', EITHER);
    if (input.audience === undefined) return;
    if (input.chatIds !== undefined) refuse('audience', EITHER);
    if (input.dedupKey !== undefined) refuse('dedupKey', 'no dedupKey with an audience; an Idempotency-Key does it');
  })
  .transform(withParts);

/**
 * POST /api/notify/telegram: one text to `chatIds` (lane notify) or, as a broadcast, to an `audience` (lane bulk).
 * Resolves once it is in the store. Throws a Problem: 400 that names the fields, 409, 503.
 */
export async function notifyTelegram(
  services: Services,
  input: unknown,
  idempotencyKey?: string,
): Promise<{ ids: string[] } | { broadcastId: string }> {
  const { chatIds, dedupKey: dedup, ...rest } = checked(body, input);
  const idempotency = idempotencyOf('notify', idempotencyKey, input);
  if (chatIds === undefined) {
    const { id } = await acceptBroadcast(services, rest, idempotency);
    return { broadcastId: id };
  }
  const bot = await chosenBot(services, rest.botId);
  const message = {
    ...contentOf(rest),
    lane: rest.lane ?? 'notify',
    class: rest.class ?? 'at-least-once',
  } as const;
  return services.acceptance.chatIds(bot, message, chatIds, dedup, idempotency);
}
