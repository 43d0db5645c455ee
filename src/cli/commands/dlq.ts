import { dropDeadLetters, getDeadLetter, listDeadLetters, replayDeadLetters } from '../../api/dead-letter.js';
import type { Queue } from '../../queues.js';
import type { DeadLetterView } from '../../store/dead-letters.js';
import { CommandError, EXIT } from '../exit.js';
import { note, say, sayJson, table } from '../io.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** Which dead letters a command is for, as they were typed. */
export interface Chosen {
  readonly all?: true;
  readonly filter?: string;
  readonly json?: true;
}

/** The filter of --filter. Throws CommandError 64 when it is no JSON object. */
function filterOf(json: string | undefined): object | undefined {
  if (json === undefined) return undefined;
  try {
    const filter: unknown = JSON.parse(json);
    if (typeof filter === 'object' && filter !== null && !Array.isArray(filter)) return filter;
  } catch {
    // Said below.
  }
  throw new CommandError(EXIT.usage, '--filter takes a JSON object, such as \'{"reason":"can\\u0027t parse"}\'');
}

/** The body of POST /admin/dlq/:queue/replay that the words stand for. Throws CommandError 64 unless exactly one choice was made. */
function choiceOf(ids: readonly string[], { all, filter }: Chosen): object {
  const given = [ids.length > 0 ? ids : undefined, all, filter].filter((one) => one !== undefined);
  if (given.length !== 1) throw new CommandError(EXIT.usage, 'name dead letters by ID, or give --filter JSON or --all');
  if (all === true) return { all };
  return ids.length > 0 ? { ids } : { filter: filterOf(filter) };
}

const rowOf = ({ id, state, attempts, at, reason, chatId }: DeadLetterView): string[] => [
  id,
  state,
  String(chatId ?? ''),
  String(attempts),
  at,
  reason,
];

/** `posthorn dlq list QUEUE`: the newest first. Resolves with the exit code; throws CommandError and Problem. */
export async function listDlq(
  session: Session,
  queue: Queue,
  { filter, json, ...page }: Chosen & { readonly state?: string; readonly limit?: string; readonly cursor?: string },
): Promise<number> {
  const query = { ...filterOf(filter), ...page };
  return withStore(session, async ({ services }) => {
    const { items, next } = await listDeadLetters(services, queue, query);
    if (json === true) sayJson(session.io, { items, ...(next === undefined ? {} : { next }) });
    else {
      say(session.io, table([['id', 'state', 'chat', 'attempts', 'at', 'reason'], ...items.map(rowOf)]));
      if (next !== undefined) note(session.io, `more: --cursor ${next}`);
    }
    return EXIT.done;
  });
}

/** `posthorn dlq show QUEUE ID…`. Resolves with the exit code; throws Problem. */
export async function showDlq(session: Session, queue: Queue, ids: readonly string[], json: boolean): Promise<number> {
  return withStore(session, async ({ services }) => {
    const items = [];
    for (const id of ids) items.push(await getDeadLetter(services, queue, id));
    if (json) sayJson(session.io, items.length === 1 && items[0] !== undefined ? items[0] : { items });
    else {
      const texts = items.map((letter) =>
        table(
          Object.entries(letter).map(([name, value]) => [
            name,
            typeof value === 'object' ? JSON.stringify(value) : String(value),
          ]),
        ),
      );
      say(session.io, texts.join('\n\n'));
    }
    return EXIT.done;
  });
}

/** `posthorn dlq replay QUEUE [ID…]`. Resolves with the exit code: 1 when some that were asked for could not be replayed. Throws CommandError and Problem. */
export async function replayDlq(
  session: Session,
  queue: Queue,
  ids: readonly string[],
  chosen: Chosen,
): Promise<number> {
  const body = choiceOf(ids, chosen);
  return withStore(session, async ({ services }) => {
    const answer = await replayDeadLetters(services, queue, body);
    if (chosen.json === true) sayJson(session.io, answer);
    else say(session.io, `replayed ${answer.replayed}`);
    for (const id of answer.refused ?? []) note(session.io, `${id}: this delivery was sent after all; drop its letter`);
    return answer.refused === undefined ? EXIT.done : EXIT.failed;
  });
}

/** `posthorn dlq drop QUEUE [ID…]`. Resolves with the exit code; throws CommandError and Problem. */
export async function dropDlq(session: Session, queue: Queue, ids: readonly string[], chosen: Chosen): Promise<number> {
  const body = choiceOf(ids, chosen);
  return withStore(session, async ({ services }) => {
    const answer = await dropDeadLetters(services, queue, body);
    if (chosen.json === true) sayJson(session.io, answer);
    else say(session.io, `dropped ${answer.dropped}`);
    return EXIT.done;
  });
}
