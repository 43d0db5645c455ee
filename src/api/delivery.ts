import { z } from 'zod';
import { type DeliveryPlace, deliveryId, parseBroadcastId, parseDeliveryId } from '../delivery/ids.js';
import type { DeliveryFilter, DeliveryView } from '../store/deliveries.js';
import { chosenBot } from './bot-choice.js';
import { checked } from './checked.js';
import { deliveryFormats, type ExportFormat } from './export/delivery-rows.js';
import { CURSOR, listQuery, since } from './list-query.js';
import { botId } from './message.js';
import { Problem, wrongInput } from './problem.js';
import type { Page, Services } from './services.js';

/** The states a delivery can be asked for by. */
export const DELIVERY_STATES = [
  'queued',
  'attempting',
  'sent',
  'blocked',
  'dead',
  'unknown',
  'cancelled',
  'skipped',
] as const;
/** By chat, deliveries of the last day are looked for when no time is given, ms. */
const BY_CHAT_MS = 86_400_000;
/** One answer of a list looks at about so many deliveries at most: with a rare state it may show few, or none, and a cursor to go on from. */
const MOST_LOOKED = 100_000;
/** What is counted for a step beside its deliveries: a page that holds none has been read, too. */
const STEP_COST = 20;

const STATE = `one of ${DELIVERY_STATES.join(', ')}`;
const BROADCAST = 'the id of a broadcast';
const CHAT_ID = 'a non-zero integer';

const filter = {
  broadcastId: z
    .string(BROADCAST)
    .refine((id) => parseBroadcastId(id) !== undefined, BROADCAST)
    .optional(),
  state: z.enum(DELIVERY_STATES, STATE).optional(),
  chatId: z
    .string(CHAT_ID)
    .regex(/^-?[1-9]\d{0,15}$/, CHAT_ID)
    .transform(Number)
    .refine(Number.isSafeInteger, CHAT_ID)
    .optional(),
  since: since.optional(),
  botId: botId.optional(),
};
const cursor = z
  .string(CURSOR)
  .refine((text) => parseDeliveryId(text) !== undefined, CURSOR)
  .optional();
const query = z.strictObject({ ...listQuery, cursor, ...filter });
const exportQuery = z.strictObject({ ...filter, format: z.enum(['csv', 'ndjson'], 'csv or ndjson').optional() });

/** GET /api/deliveries/:id. Throws a Problem 404 PH_DELIVERY_NOT_FOUND. */
export async function getDelivery(services: Services, id: string): Promise<DeliveryView> {
  const found = await services.findDelivery(id);
  if (found === undefined) {
    throw new Problem({ status: 404, code: 'PH_DELIVERY_NOT_FOUND', detail: 'There is no delivery with this id.' });
  }
  return found;
}

/** The filter that a query stands for; the bot is that of the broadcast or cursor, else the one named, else the first. */
async function filterOf(
  services: Services,
  given: { [name in keyof typeof filter]?: z.infer<(typeof filter)[name]> },
  before?: DeliveryPlace,
): Promise<DeliveryFilter> {
  const { broadcastId, state, chatId } = given;
  const broadcast = broadcastId === undefined ? undefined : parseBroadcastId(broadcastId);
  const bot = await chosenBot(services, given.botId ?? broadcast?.bot ?? before?.bot, 'botId');
  if (broadcast !== undefined && broadcast.bot !== bot)
    throw wrongInput([{ field: 'broadcastId', expected: `a broadcast of the bot ${bot}` }]);
  if (before !== undefined && before.bot !== bot) throw wrongInput([{ field: 'cursor', expected: CURSOR }]);
  return {
    bot,
    ...(broadcast === undefined ? {} : { broadcast: broadcast.n }),
    ...(state === undefined ? {} : { state }),
    ...(chatId === undefined ? {} : { chatId }),
    ...(given.since === undefined ? {} : { since: given.since }),
  };
}

/**
 * GET /api/deliveries: the newest first, by cursor. By chat without a time or a broadcast it is those of the last day. An answer may show fewer than `limit`, or
 * none, while there is a `next`: it looks at about 100,000 deliveries at most. Throws a Problem 400 that names the fields.
 */
export async function listDeliveries(services: Services, input: unknown): Promise<Page<DeliveryView>> {
  const { limit, cursor: after, ...given } = checked(query, input);
  const before = after === undefined ? undefined : parseDeliveryId(after);
  const byAge = given.chatId !== undefined && given.since === undefined && given.broadcastId === undefined;
  const aged = byAge ? { ...given, since: new Date(services.now().getTime() - BY_CHAT_MS) } : given;
  const items: DeliveryView[] = [];
  let looked = 0;
  for await (const step of services.walkDeliveries(await filterOf(services, aged, before), before)) {
    items.push(...step.found.slice(0, limit + 1 - items.length));
    const last = items[limit - 1];
    if (items.length > limit && last !== undefined) return { items: items.slice(0, limit), next: last.id };
    looked += step.looked + STEP_COST;
    if (looked >= MOST_LOOKED) return { items, next: deliveryId(step.last) };
  }
  return { items };
}

/** An export on its way: its content type, and its texts as they are read. */
export interface Export {
  readonly type: string;
  readonly texts: AsyncGenerator<string>;
}

/**
 * GET /api/deliveries/export: all deliveries that the query fits, the newest first, as CSV (the default) or NDJSON, in memory that does not grow with them.
 * Without a time it is all that is kept. Throws a Problem 400 that names the fields; the texts end with an error when the store goes away.
 */
export async function exportDeliveries(services: Services, input: unknown): Promise<Export> {
  const { format = 'csv', ...given } = checked(exportQuery, input);
  const wanted = await filterOf(services, given);
  const { type, header, row } = deliveryFormats[format satisfies ExportFormat];
  async function* texts(): AsyncGenerator<string> {
    yield header;
    for await (const { found } of services.walkDeliveries(wanted)) if (found.length > 0) yield found.map(row).join('');
  }
  return { type, texts: texts() };
}
