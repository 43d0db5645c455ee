import { z } from 'zod';
import { QUEUES, type Queue } from '../queues.js';
import {
  type DeadLetterDetail,
  type DeadLetterFilter,
  type DeadLetterView,
  LETTER_CURSOR,
} from '../store/dead-letters.js';
import { boundedText } from './bounded-text.js';
import { checked } from './checked.js';
import { CURSOR, listQuery, since } from './list-query.js';
import { botId } from './message.js';
import { type FieldError, Problem } from './problem.js';
import type { Page, Services } from './services.js';

/** Most ids of one request. */
const MAX_IDS = 1_000;
const IDS = '1–1,000 ids of dead letters';
const ONE = 'one of ids, filter and all';
const FILTER = 'at least one of botId, reason and since';
const STATE = 'waiting, replayed or dropped';
/** Most ids that an answer lists. */
const MAX_LISTED = 100;

const filterFields = {
  botId: botId.optional(),
  reason: boundedText(1, 200, 'a part of the reason, a text of 1–200 UTF-16 units').optional(),
  since: since.optional(),
};
const query = z.strictObject({
  ...listQuery,
  cursor: z.string(CURSOR).regex(LETTER_CURSOR, CURSOR).optional(),
  state: z.enum(['waiting', 'replayed', 'dropped'], STATE).default('waiting'),
  ...filterFields,
});
const which = z
  .strictObject(
    {
      ids: z
        .array(boundedText(1, 240, 'the id of a dead letter'), IDS)
        .min(1, IDS)
        .max(MAX_IDS, IDS)
        .optional(),
      filter: z
        .strictObject(filterFields, FILTER)
        .refine((filter) => Object.values(filter).some((value) => value !== undefined), FILTER)
        .optional(),
      all: z.literal(true, 'true').optional(),
    },
    'an object with ids, filter or all',
  )
  .refine(({ ids, filter, all }) => [ids, filter, all].filter((one) => one !== undefined).length === 1, ONE);

/** The queue of this name. Throws a Problem 404 PH_QUEUE_NOT_FOUND. */
function queueOf(name: string): Queue {
  const queue = QUEUES.find((one) => one === name);
  if (queue !== undefined) return queue;
  const detail = `There is no such queue; there are ${QUEUES.join(', ')}.`;
  throw new Problem({ status: 404, code: 'PH_QUEUE_NOT_FOUND', detail });
}

function filterOf({ botId: bot, reason, since: from }: z.infer<z.ZodObject<typeof filterFields>>): DeadLetterFilter {
  return {
    ...(bot === undefined ? {} : { bot }),
    ...(reason === undefined ? {} : { reason }),
    ...(from === undefined ? {} : { since: from }),
  };
}

const notFound = (errors?: readonly FieldError[]): Problem =>
  new Problem({
    status: 404,
    code: 'PH_DEAD_LETTER_NOT_FOUND',
    detail: 'There is no dead letter with this id.',
    ...(errors === undefined ? {} : { errors: errors.slice(0, MAX_LISTED) }),
  });

/** GET /admin/dlq/:queue: those that wait (or `state`), the newest first, by cursor. Throws a Problem: 400 that names the fields, 404 for a queue that is none. */
export async function listDeadLetters(
  services: Services,
  queue: string,
  input: unknown,
): Promise<Page<DeadLetterView>> {
  const name = queueOf(queue);
  const { limit, cursor, state, ...filter } = checked(query, input);
  return services.deadLetters.list(name, {
    ...filterOf(filter),
    state,
    limit,
    ...(cursor === undefined ? {} : { cursor }),
  });
}

/** GET /admin/dlq/:queue/:id: one, with its message or update. Throws a Problem 404. */
export async function getDeadLetter(services: Services, queue: string, id: string): Promise<DeadLetterDetail> {
  const found = await services.deadLetters.find(queueOf(queue), id);
  if (found === undefined) throw notFound();
  return found;
}

/** Why a letter cannot be moved, in the words of `expected`. */
function unmovable({ state, replayedAs, endedAt }: DeadLetterView): string {
  const as = replayedAs === undefined ? '' : ` as ${replayedAs}`;
  return `a dead letter that waits; this one was ${state}${as} at ${endedAt}`;
}

/**
 * Refuses ids that cannot be moved, before anything is. Throws a Problem: 404 PH_DEAD_LETTER_NOT_FOUND, 409 PH_DELIVERY_NOT_DEAD for a delivery that has
 * none, 409 PH_DEAD_LETTER_NOT_WAITING for what was replayed or dropped already, 409 PH_DEAD_LETTER_REPLAYING for a drop of what is being replayed.
 */
async function checkIds(services: Services, queue: Queue, ids: readonly string[], drops: boolean): Promise<void> {
  const found = await services.deadLetters.look(queue, ids);
  const field = (index: number): string => (drops && ids.length === 1 ? 'id' : `ids[${index}]`);
  const problem = (code: string, detail: string, errors: readonly FieldError[]): Problem =>
    new Problem({ status: 409, code, detail, errors: errors.slice(0, MAX_LISTED) });
  const missing = ids.flatMap((id, index) => (found.has(id) ? [] : [{ id, index }]));
  if (missing.length > 0) {
    const alive: FieldError[] = [];
    for (const { id, index } of missing.slice(0, queue === 'deliveries' ? MAX_LISTED : 0)) {
      const delivery = await services.findDelivery(id);
      if (delivery !== undefined)
        alive.push({ field: field(index), expected: `a delivery that died; this one is ${delivery.state}` });
    }
    if (alive.length > 0) throw problem('PH_DELIVERY_NOT_DEAD', 'This delivery has no dead letter.', alive);
    throw notFound(missing.map(({ index }) => ({ field: field(index), expected: 'the id of a dead letter' })));
  }
  const ended = ids.flatMap((id, index) => {
    const letter = found.get(id);
    return letter === undefined || letter.state === 'waiting'
      ? []
      : [{ field: field(index), expected: unmovable(letter) }];
  });
  if (ended.length > 0)
    throw problem('PH_DEAD_LETTER_NOT_WAITING', 'This dead letter was replayed or dropped already.', ended);
  if (!drops) return;
  const replaying = ids.flatMap((id, index) =>
    found.get(id)?.replaying === true ? [{ field: field(index), expected: 'one whose replay has not begun' }] : [],
  );
  if (replaying.length > 0) throw beingReplayed(replaying);
}

const beingReplayed = (errors: readonly FieldError[]): Problem =>
  new Problem({
    status: 409,
    code: 'PH_DEAD_LETTER_REPLAYING',
    detail:
      'A replay of this dead letter has begun, so that its message may be on its way: replay it again to end that.',
    errors: errors.slice(0, MAX_LISTED),
  });

/**
 * POST /admin/dlq/:queue/replay: `{"ids":[…]}`, `{"filter":{…}}` or `{"all":true}`; answers how many this call replayed. Ids are all looked at first: when one of them
 * cannot be replayed nothing is. `refused` lists waiting letters (100 at most) of deliveries that were sent after all. May be repeated after a lost answer or a crash.
 * Throws a Problem: 400 that names the fields, 404, 409 (checkIds), 503; what was replayed before a 503 stays replayed.
 */
export async function replayDeadLetters(
  services: Services,
  queue: string,
  input: unknown,
): Promise<{ replayed: number; refused?: readonly string[] }> {
  const name = queueOf(queue);
  const { ids, filter } = checked(which, input);
  if (ids !== undefined) await checkIds(services, name, ids, false);
  const chosen = ids === undefined ? filterOf(filter ?? {}) : [...new Set(ids)];
  const { replayed, refused } = await services.deadLetters.replay(name, chosen);
  if (ids !== undefined && refused.length > 0) {
    throw new Problem({
      status: 409,
      code: 'PH_DELIVERY_NOT_DEAD',
      detail: `This delivery was sent after all; ${replayed} of the others are replayed.`,
      errors: refused
        .slice(0, MAX_LISTED)
        .map((id) => ({ field: `ids[${ids.indexOf(id)}]`, expected: 'a delivery that died; this one is sent' })),
    });
  }
  return { replayed, ...(refused.length === 0 ? {} : { refused: refused.slice(0, MAX_LISTED) }) };
}

/** Drops dead letters, chosen as for a replay; answers how many this call dropped. Those whose replay has begun are left alone. Throws as replayDeadLetters. */
export async function dropDeadLetters(services: Services, queue: string, input: unknown): Promise<{ dropped: number }> {
  const name = queueOf(queue);
  const { ids, filter } = checked(which, input);
  if (ids !== undefined) await checkIds(services, name, ids, true);
  return { dropped: await services.deadLetters.drop(name, ids ?? filterOf(filter ?? {})) };
}

/** DELETE /admin/dlq/:queue/:id: drops one; answers it as it is then. Throws a Problem 404 or 409 (checkIds). */
export async function dropDeadLetter(services: Services, queue: string, id: string): Promise<DeadLetterView> {
  const name = queueOf(queue);
  await checkIds(services, name, [id], true);
  await services.deadLetters.drop(name, [id]);
  const letter = (await services.deadLetters.look(name, [id])).get(id);
  if (letter === undefined) throw notFound();
  // Someone else was faster.
  if (letter.state === 'replayed' || letter.replaying === true)
    throw beingReplayed([{ field: 'id', expected: 'one whose replay has not begun' }]);
  return letter;
}
