import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBroadcast, getBroadcast, listBroadcasts, moveBroadcast } from '../../api/broadcast.js';
import type { BroadcastMoveName, BroadcastView } from '../../store/broadcasts.js';
import { counts, figures, watchBroadcast } from '../broadcast-watch.js';
import { CommandError, EXIT } from '../exit.js';
import { note, say, sayJson, table } from '../io.js';
import { withProgress } from '../progress.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** The options of `posthorn broadcast`, as they were typed. */
export interface BroadcastOptions {
  readonly file?: string;
  readonly audience?: string;
  readonly parseMode?: string;
  readonly class?: string;
  readonly lane?: string;
  readonly bot?: string;
  readonly idempotencyKey?: string;
  readonly name?: string;
  readonly wait?: true;
  readonly json?: true;
}

const clock = { now: () => performance.now(), sleep: (ms: number) => sleep(ms) };

async function textOf(text: string | undefined, file: string | undefined): Promise<string> {
  if ((text === undefined) === (file === undefined)) {
    throw new CommandError(EXIT.usage, 'give the text, or --file FILE with it');
  }
  if (file === undefined) return text ?? '';
  return readFile(file, 'utf8').catch((error: unknown) => {
    throw new CommandError(EXIT.failed, `cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`);
  });
}

function audienceOf(json: string | undefined): unknown {
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    throw new CommandError(EXIT.usage, '--audience takes JSON, such as \'{"tags":["vip"]}\'');
  }
}

/** The body of POST /api/broadcasts that the options stand for; what was not given is absent. */
async function bodyOf(text: string | undefined, options: BroadcastOptions): Promise<object> {
  const all = {
    text: await textOf(text, options.file),
    parseMode: options.parseMode,
    class: options.class,
    lane: options.lane,
    audience: audienceOf(options.audience),
    name: options.name,
    botId: options.bot,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** The exit code of a broadcast that is over: only one that is done is done. */
function over(session: Session, view: BroadcastView, json: boolean): number {
  if (json) sayJson(session.io, view);
  else say(session.io, `${view.state}: ${counts(view)}`);
  return view.state === 'done' ? EXIT.done : EXIT.failed;
}

/**
 * `posthorn broadcast`: accepts a broadcast as POST /api/broadcasts does and prints its id; with --wait follows it to its end, also when it is cancelled (exit code 1).
 * Resolves with the exit code; 69 when no sender is alive (what was accepted stays). Throws CommandError and Problem.
 */
export async function broadcast(
  session: Session,
  text: string | undefined,
  options: BroadcastOptions,
): Promise<number> {
  const { io } = session;
  const body = await bodyOf(text, options);
  return withStore(session, async ({ services }) => {
    const { id } = await createBroadcast(services, body, options.idempotencyKey);
    if (options.wait !== true) {
      if (options.json === true) sayJson(io, { id });
      else say(io, id);
      return EXIT.done;
    }
    if (options.json !== true) say(io, id);
    const { end, view } = await withProgress(io, `broadcast ${id}`, clock.now, (show) =>
      watchBroadcast(services, id, clock, show),
    );
    if (end === 'over') return over(session, view, options.json === true);
    if (options.json === true) sayJson(io, view);
    note(io, `posthorn: no sender is alive, so broadcast ${id} waits; it stays accepted (${figures(view)}).`);
    note(io, 'posthorn: start one with: posthorn start    (or: posthorn start sender, beside the other roles)');
    return EXIT.unavailable;
  });
}

/** `posthorn broadcasts show ID`. Resolves with the exit code; throws Problem. */
export async function showBroadcast(session: Session, id: string, json: boolean): Promise<number> {
  return withStore(session, async ({ services }) => {
    const view = await getBroadcast(services, id);
    if (json) sayJson(session.io, view);
    else {
      const rows = Object.entries(view).map(([name, value]) => [name, String(value ?? '-')]);
      say(session.io, table(rows));
    }
    return EXIT.done;
  });
}

/** `posthorn broadcasts pause|resume|cancel ID`: prints what it is then. Resolves with the exit code; throws Problem (404, 409: exit 1). */
export async function moveBroadcastState(
  session: Session,
  id: string,
  move: BroadcastMoveName,
  json: boolean,
): Promise<number> {
  return withStore(session, async ({ services }) => {
    const view = await moveBroadcast(services, id, move);
    if (json) sayJson(session.io, view);
    else say(session.io, `${view.id} ${view.state}: ${counts(view)}, remaining ${view.remaining}`);
    return EXIT.done;
  });
}

/** `posthorn broadcasts list`: newest first. Resolves with the exit code; throws Problem. */
export async function showBroadcasts(session: Session, query: object, json: boolean): Promise<number> {
  return withStore(session, async ({ services }) => {
    const page = await listBroadcasts(services, query);
    if (json) sayJson(session.io, page);
    else {
      const rows = page.items.map((item) => [item.id, item.state, figures(item), item.createdAt, item.name ?? '']);
      say(session.io, table([['id', 'state', 'figures', 'created', 'name'], ...rows]));
      if (page.next !== undefined) note(session.io, `more: --cursor ${page.next}`);
    }
    return EXIT.done;
  });
}
