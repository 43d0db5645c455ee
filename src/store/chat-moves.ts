import type { Collection, Filter } from 'mongodb';
import { MOST_MOVES } from '../delivery/chat-moves.js';
import type { ChatRow } from './models.js';
import { duplicateKey } from './store.js';

/** A group that became a supergroup: its new chat id. */
export interface ChatMove {
  readonly chatId: number;
  readonly to: number;
}

/** Others may write the same rows meanwhile; so often it is tried again. */
const TRIES = 8;
/**
 * The row of a group takes the chat id of the supergroup that it became and keeps its uid, so that audiences meet it once; a row that is there already
 * gives way. A stub without subscription stays under the old id and tells where it went. A row without a subscription is nobody and never takes the
 * place of one that is there. Idempotent, and may be cut off anywhere and done again. Rejects with the driver's error while the store is away.
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
  const { target, there } = await whereItIs(chats, bot, to);
  if (target === from) return;
  const row = await chats.findOne({ bot, chatId: from, movedTo: { $exists: false } } as Filter<ChatRow>);
  // Another may have moved it between the two reads: then they are one row, which is where it belongs.
  const isThere = row !== null && there !== null && row._id.equals(there._id);
  if (row !== null && !isThere && (there === null || row.subscription !== undefined)) {
    // Unless it has moved on meanwhile: then the new id is still taken, and the move begins anew.
    if (there !== null)
      await chats.deleteOne({
        _id: there._id,
        bot,
        chatId: target,
        movedTo: { $exists: there.movedTo !== undefined },
      } as Filter<ChatRow>);
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
  // Who subscribed under the old id since it was read is not matched: the insert then meets a duplicate key, and the move begins anew.
  await chats.updateOne(
    {
      bot,
      chatId: from,
      $or: [{ movedTo: { $exists: true } }, { subscription: { $exists: false } }],
    } as Filter<ChatRow>,
    {
      $set: { movedTo: target },
      $unset: { subscription: '', subscriptionAt: '' },
      $setOnInsert: { type: 'group', reach: 'ok', tags: [], createdAt: new Date() },
    },
    { upsert: true },
  );
}

/** The last chat id that is known of a chat, and the row under it. */
async function whereItIs(
  chats: Collection<ChatRow>,
  bot: string,
  chatId: number,
): Promise<{ readonly target: number; readonly there: ChatRow | null }> {
  let target = chatId;
  for (let hop = 0; ; hop += 1) {
    const there = await chats.findOne({ bot, chatId: target });
    if (there?.movedTo === undefined || hop === MOST_MOVES) return { target, there };
    target = there.movedTo;
  }
}
