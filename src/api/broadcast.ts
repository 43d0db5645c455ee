import { z } from 'zod';
import type { BroadcastMoveName, BroadcastView } from '../store/broadcasts.js';
import { chosenBot } from './bot-choice.js';
import { boundedText } from './bounded-text.js';
import { checked } from './checked.js';
import type { Idempotency } from './idempotency.js';
import { idempotencyOf } from './idempotency.js';
import { listQuery } from './list-query.js';
import { botId, content, contentOf, withParts } from './message.js';
import { Problem } from './problem.js';
import type { Page, Services } from './services.js';
import { tags } from './tags.js';

const NAME = 'a text of 1–200 UTF-16 units';
const TYPES = 'some of private, group, supergroup, channel';

/** Whom a broadcast is for: people with any of `tags`; chats of `types` instead of private ones. */
export const audience = z.strictObject(
  {
    tags: tags.min(1, '1–100 tags').optional(),
    types: z
      .array(z.enum(['private', 'group', 'supergroup', 'channel'], TYPES), TYPES)
      .min(1, TYPES)
      .max(4, TYPES)
      .optional(),
  },
  'an object with tags and types',
);

const body = z
  .strictObject(
    { ...content, audience: audience.optional(), name: boundedText(1, 200, NAME).optional() },
    'a broadcast: an object',
  )
  .transform(withParts);

/** A broadcast as it comes in, checked. */
export type BroadcastInput = z.infer<typeof body>;

/** Hands a checked broadcast to the store: lane bulk, class at-least-once, people in private chats unless said otherwise. Throws as chosenBot and the store do. */
export async function acceptBroadcast(
  services: Services,
  input: BroadcastInput,
  idempotency: Idempotency | undefined,
): Promise<{ id: string }> {
  const bot = await chosenBot(services, input.botId);
  const { tags: wanted, types } = input.audience ?? {};
  const broadcast = {
    ...contentOf(input),
    class: input.class ?? 'at-least-once',
    lane: input.lane ?? 'bulk',
    audience: {
      ...(wanted === undefined ? {} : { tags: [...new Set(wanted)] }),
      types: [...new Set(types ?? ['private' as const])],
    },
    ...(input.name === undefined ? {} : { name: input.name }),
  };
  return services.acceptance.broadcast(bot, broadcast, idempotency);
}

/** POST /api/broadcasts: accepts a broadcast; resolves once it is in the store. Throws a Problem: 400 that names the fields, 409, 503. */
export async function createBroadcast(
  services: Services,
  input: unknown,
  idempotencyKey?: string,
): Promise<{ id: string }> {
  const broadcast = checked(body, input);
  return acceptBroadcast(services, broadcast, idempotencyOf('broadcast', idempotencyKey, input));
}

/** True once nothing of a broadcast changes any more: it is done, or cancelled with its last call ended. Never throws. */
export const isOver = ({ state, finishedAt }: BroadcastView): boolean =>
  state === 'done' || (state === 'cancelled' && finishedAt !== undefined);

const NEEDED: Readonly<Record<BroadcastMoveName, string>> = {
  pause: 'only a running one can be paused',
  resume: 'only a paused one can be resumed',
  cancel: 'only a running or paused one can be cancelled',
};

const missing = (): Problem =>
  new Problem({ status: 404, code: 'PH_BROADCAST_NOT_FOUND', detail: 'There is no broadcast with this id.' });

/**
 * POST /api/broadcasts/:id/pause, resume, cancel: resolves with the object as it is then. What is in the air ends as it ends.
 * Throws a Problem: 404 PH_BROADCAST_NOT_FOUND, 409 PH_BROADCAST_STATE when its state does not allow it.
 */
export async function moveBroadcast(services: Services, id: string, move: BroadcastMoveName): Promise<BroadcastView> {
  const answer = await services.moveBroadcast(id, move);
  if (answer === undefined) throw missing();
  if (answer.moved) return answer.view;
  const detail = `The broadcast is ${answer.view.state}: ${NEEDED[move]}.`;
  throw new Problem({ status: 409, code: 'PH_BROADCAST_STATE', detail });
}

/** GET /api/broadcasts/:id. Throws a Problem 404 PH_BROADCAST_NOT_FOUND. */
export async function getBroadcast(services: Services, id: string): Promise<BroadcastView> {
  const found = await services.findBroadcast(id);
  if (found === undefined) throw missing();
  return found;
}

const query = z.strictObject({ ...listQuery, botId: botId.optional() });

/** GET /api/broadcasts: newest first, by cursor. Throws a Problem 400 that names the fields. */
export async function listBroadcasts(services: Services, input: unknown): Promise<Page<BroadcastView>> {
  const { botId: bot, cursor, limit } = checked(query, input);
  return services.listBroadcasts({
    limit,
    ...(bot === undefined ? {} : { bot }),
    ...(cursor === undefined ? {} : { cursor }),
  });
}
