import { z } from 'zod';
import type { ImportProgress, ImportResult, PeoplePage, PersonView } from '../store/people.js';
import { noBot } from './bot-choice.js';
import { boundedText } from './bounded-text.js';
import { checked } from './checked.js';
import { type ImportFormat, personRows } from './import/person-rows.js';
import { CURSOR, listQuery } from './list-query.js';
import { botId } from './message.js';
import { Problem, wrongInput } from './problem.js';
import type { Services } from './services.js';

/** What an import is given: the file's bytes in any pieces, its format, and where progress goes. */
export interface PeopleImport {
  readonly chunks: AsyncIterable<Uint8Array | string>;
  readonly format: ImportFormat;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/**
 * POST /api/users/import: streams people in; bad lines are reported by number and the rest is imported.
 * Throws a Problem: 400 PH_IMPORT_HEADER for a CSV header that is wrong, 503 when the store goes away (what was written stays; the same file may be sent again).
 */
export async function importUsers(services: Services, input: PeopleImport): Promise<ImportResult> {
  const bots = await services.bots();
  if (bots.first === undefined) throw noBot();
  const rows = personRows(input.chunks, input.format, bots);
  return services.importPeople({ rows, onProgress: input.onProgress });
}

const query = z.strictObject({
  ...listQuery,
  cursor: z
    .string(CURSOR)
    .regex(/^[\w-]{16}$/, CURSOR)
    .optional(),
  botId: botId.optional(),
  subscription: z.enum(['active', 'stopped'], 'active or stopped').optional(),
  reachability: z.enum(['ok', 'blocked', 'gone'], 'ok, blocked or gone').optional(),
  type: z.enum(['private', 'group', 'supergroup', 'channel'], 'private, group, supergroup or channel').optional(),
  tag: boundedText(1, 64, 'a tag').optional(),
});

/** GET /api/users: people by ascending uid, by cursor. Throws a Problem 400 that names the fields. */
export async function listUsers(services: Services, input: unknown): Promise<PeoplePage> {
  const { botId: bot, ...rest } = checked(query, input);
  const given = Object.entries({ bot, ...rest }).filter(([, value]) => value !== undefined);
  return services.listPeople({ ...Object.fromEntries(given), limit: rest.limit });
}

/** GET /api/users/:botId/:chatId. Throws a Problem: 400 for a chat id that is none, 404 PH_USER_NOT_FOUND. */
export async function getUser(services: Services, bot: string, chat: string): Promise<PersonView> {
  const chatId = /^-?[1-9]\d{0,15}$/.test(chat) ? Number(chat) : 0;
  if (!Number.isSafeInteger(chatId) || chatId === 0) {
    throw wrongInput([{ field: 'chatId', expected: 'a non-zero integer' }]);
  }
  const found = await services.findPerson(bot, chatId);
  if (found === undefined) {
    throw new Problem({ status: 404, code: 'PH_USER_NOT_FOUND', detail: 'This bot knows no such person.' });
  }
  return found;
}
