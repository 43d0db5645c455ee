import type { Collection, Filter } from 'mongodb';
import type { ChatRow } from './models.js';
import { duplicateKey } from './store.js';

/** A group that became a supergroup: its new chat id. */
export interface ChatMove {
  readonly chatId: number;
  readonly to: number;
}

/** Others may write the same rows meanwhile; so often it is tried again. */
const TRIES = 8;
/** A chat moves once or twice in its life; more would be a circle. */
const HOPS = 8;

/**
 * The row of a group takes the chat id of the supergroup that it became and keeps its uid, so that audiences meet it once; a row that is there already
 * gives way. A stub without subscription stays under the old id and tells where it went. Whichever of the two rows has a subscription is kept, the older
 * one when neither has. Idempotent, and may be cut off anywhere and done again. Rejects with the driver's error while the store is away.
 */
export async function moveChat(rows: Collection, bot: string, { chatId: from, to }: ChatMove): Promise<void> {
  const chats = rows as unknown as Collection<ChatRow>;
  for (let tries = 1; ; tries += 1) {
    try {
      await move(chats, bot, from, to);
      return;
    } catch (error) {
      if (duplicateKey(error) === undefined || tries === TRIES) throw error;
    }
  }
}

async function move(chats: Collection<ChatRow>, bot: string, from: number, to: number): Promise<void> {
  const target = await whereItIs(chats, bot, to);
  if (target === from) return;
  const [row, there] = await Promise.all([
    chats.findOne({ bot, chatId: from, movedTo: { $exists: false } } as Filter<ChatRow>),
    chats.findOne({ bot, chatId: target }),
  ]);
  if (row !== null && (there === null || goesBefore(row, there))) {
    if (there !== null) await chats.deleteOne({ _id: there._id, bot, chatId: target });
    const known = there ?? row;
    await chats.updateOne(
      { _id: row._id, bot, chatId: from },
      {
        $set: {
          chatId: target,
          type: 'supergroup',
          reach: known.reach,
          ...(known.lastUpdateAt === undefined ? {} : { lastUpdateAt: known.lastUpdateAt }),
          ...(known.lastUpdateId === undefined ? {} : { lastUpdateId: known.lastUpdateId }),
        },
      },
    );
  }
  await chats.updateOne(
    { bot, chatId: from },
    {
      $set: { movedTo: target },
      $unset: { subscription: '', subscriptionAt: '' },
      $setOnInsert: { type: 'group', reach: 'ok', tags: [], createdAt: new Date() },
    },
    { upsert: true },
  );
}

async function whereItIs(chats: Collection<ChatRow>, bot: string, chatId: number): Promise<number> {
  let place = chatId;
  for (let hop = 0; hop < HOPS; hop += 1) {
    const row = await chats.findOne({ bot, chatId: place }, { projection: { movedTo: 1 } });
    if (row?.movedTo === undefined) return place;
    place = row.movedTo;
  }
  return place;
}

function goesBefore(row: ChatRow, there: ChatRow): boolean {
  if (row.subscription !== undefined) return true;
  return there.subscription === undefined && row._id.toHexString() < there._id.toHexString();
}
