import { LONG_WAIT_MS } from '../delivery/rate-throttle.js';
import type { ChatRow, OwnerRow } from './models.js';
import type { Store } from './store.js';

/** Waits of a bot that Telegram has asked for by 429, epoch ms: until when the whole bot waits, and how many chats do, the last of them until when. */
export interface LongWaits {
  readonly bot?: number;
  readonly chats: number;
  readonly until: number;
}

/** So many chats are looked at of most. */
const MAX_CHATS = 1_000;

/**
 * The waits of these bots that end more than 10 s after `now` (epoch ms), as their send owners have written them: for processes that do not send themselves. A bot without
 * any is not in the answer. Rejects with the driver's error while the store is away.
 */
export async function longWaits(
  store: Pick<Store, 'models'>,
  bots: readonly string[],
  now: number,
): Promise<Map<string, LongWaits>> {
  if (bots.length === 0) return new Map();
  const { Owners, Chats } = store.models;
  const of = { bot: { $in: [...bots] } };
  const later = { $gt: now + LONG_WAIT_MS };
  const [owners, chats] = (await Promise.all([
    Owners.collection
      .find({ ...of, part: 'send', waitUntil: later }, { projection: { bot: 1, waitUntil: 1 } })
      .toArray(),
    Chats.collection
      .find({ ...of, frozenUntil: { $gt: new Date(now + LONG_WAIT_MS) } }, { projection: { bot: 1, frozenUntil: 1 } })
      .limit(MAX_CHATS)
      .toArray(),
  ])) as unknown as [OwnerRow[], ChatRow[]];
  const waits = new Map<string, LongWaits>();
  for (const { bot, frozenUntil } of chats) {
    const { chats: count, until } = waits.get(bot) ?? { chats: 0, until: 0 };
    waits.set(bot, { chats: count + 1, until: Math.max(until, frozenUntil?.getTime() ?? 0) });
  }
  for (const { bot, waitUntil = 0 } of owners)
    waits.set(bot, { ...(waits.get(bot) ?? { chats: 0, until: 0 }), bot: waitUntil });
  return waits;
}
