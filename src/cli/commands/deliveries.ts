import { exportDeliveries, listDeliveries } from '../../api/delivery.js';
import { EXIT } from '../exit.js';
import { flow, note, say, sayJson, table } from '../io.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** Which deliveries a command is for, as it was typed. */
export interface DeliveryOptions {
  readonly since?: string;
  readonly state?: string;
  readonly broadcast?: string;
  readonly chat?: string;
  readonly bot?: string;
}

/** The query of the API that the options stand for; what was not given is absent. */
function queryOf({ broadcast, chat, bot, ...rest }: DeliveryOptions): object {
  const all = { ...rest, broadcastId: broadcast, chatId: chat, botId: bot };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** `posthorn deliveries export`: all that fit, on standard output, at the pace of who reads it. Resolves with the exit code: 1 when the reader went away before the end. Throws Problem. */
export async function exportAll(
  session: Session,
  { format, ...options }: DeliveryOptions & { readonly format?: string },
): Promise<number> {
  return withStore(session, async ({ services }) => {
    const { texts } = await exportDeliveries(services, { ...queryOf(options), format });
    for await (const text of texts) if (!(await flow(session.io.stdout, text))) return EXIT.failed;
    return EXIT.done;
  });
}

/** `posthorn deliveries list`: the newest first, as GET /api/deliveries. Resolves with the exit code; throws Problem. */
export async function listAll(
  session: Session,
  { json, limit, cursor, ...options }: DeliveryOptions & { json?: true; limit?: string; cursor?: string },
): Promise<number> {
  const page = Object.fromEntries(Object.entries({ limit, cursor }).filter(([, value]) => value !== undefined));
  return withStore(session, async ({ services }) => {
    const { items, next } = await listDeliveries(services, { ...queryOf(options), ...page });
    if (json === true) sayJson(session.io, { items, ...(next === undefined ? {} : { next }) });
    else {
      const rows = items.map(({ id, chatId, lane, state, attempts, createdAt, error }) => [
        id,
        String(chatId),
        lane,
        state,
        String(attempts),
        createdAt,
        error?.description ?? '',
      ]);
      say(session.io, table([['id', 'chat', 'lane', 'state', 'attempts', 'created', 'error'], ...rows]));
      if (next !== undefined) note(session.io, `more: --cursor ${next}`);
    }
    return EXIT.done;
  });
}
