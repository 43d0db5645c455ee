import type { BotRow } from './models.js';
import { openText, sealText } from './sealed-text.js';
import { duplicateKey, type Store } from './store.js';

/** A bot as operators see it; the token stays in the store. */
export interface BotView {
  readonly bot: string;
  readonly username?: string;
  readonly state: 'active' | 'paused' | 'unauthorized';
}

/** All bots, the first one first. Rejects with the driver's error while the store is away. */
export async function listBots(store: Store): Promise<BotView[]> {
  const rows = (await store.models.Bots.collection
    .find({}, { projection: { bot: 1, username: 1, state: 1 } })
    .sort({ _id: 1 })
    .toArray()) as unknown as BotRow[];
  return rows.map(({ bot, username, state }) => ({ bot, state, ...(username === undefined ? {} : { username }) }));
}

/** Makes sure that the bot of `token` is known; a changed token replaces the kept one. Returns its id. */
export async function ensureBot(store: Store, token: string, secret: string): Promise<string> {
  const bot = token.slice(0, token.indexOf(':'));
  const { collection } = store.models.Bots;
  const row = (await collection.findOne({ bot })) as unknown as BotRow | null;
  if (row === null) {
    try {
      await collection.insertOne({
        bot,
        token: sealText(token, secret),
        state: 'active',
        createdAt: new Date(),
      } as never);
    } catch (error) {
      if (duplicateKey(error) === undefined) throw error;
    }
  } else if (openText(row.token, secret) !== token) {
    await collection.updateOne({ bot }, { $set: { token: sealText(token, secret) } });
  }
  return bot;
}

/** Notes what getMe said of a bot. */
export async function noteBot(
  store: Store,
  bot: string,
  fields: { readonly username?: string; readonly state?: BotRow['state'] },
): Promise<void> {
  await store.models.Bots.collection.updateOne({ bot }, { $set: fields });
}
