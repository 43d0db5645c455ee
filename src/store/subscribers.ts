import { type Collection, type Filter, ObjectId, type UpdateFilter } from 'mongodb';
import { backToBack } from '../ingress/back-to-back.js';
import type { ChatFacts } from '../ingress/update-facts.js';
import { type ChatMove, moveChat } from './chat-moves.js';
import { duplicates } from './inbox.js';
import type { ChatRow } from './models.js';
import type { Store } from './store.js';

/** The update that a write comes from: writes of an older one never undo those of a newer one, whoever runs it again. */
interface Occasion {
  readonly updateId: number;
  /** When the update was written to the inbox. */
  readonly at: Date;
}

/** What a bot knows of the person or chat behind a chat id. */
export interface Subscriber {
  readonly chatId: number;
  /** Absent: in touch, but neither subscribed nor stopped. */
  readonly subscription?: 'active' | 'stopped';
  /** When the subscription became what it is. */
  readonly since: Date;
}

/** The chats of one bot as updates change them. Each method rejects with the store's error and may then be called again. */
export interface Subscribers {
  /** Registers the chat on first contact, and writes its reachability and profile as this update shows them. */
  mark(chat: ChatFacts, occasion: Occasion): Promise<void>;
  /** Begins or ends the subscription of a chat that is registered. */
  subscribe(chatId: number, subscription: 'active' | 'stopped', occasion: Occasion): Promise<void>;
  find(chatId: number): Promise<Subscriber | undefined>;
  /** A group became a supergroup: see `moveChat`. */
  move(move: ChatMove): Promise<void>;
}

/** What this file keeps in a chat's row besides the model's fields. */
interface Row extends ChatRow {
  /** The newest update that marked the row. */
  lastUpdateId?: number;
  /** The newest update that asked for a subscription or its end, and when that came. */
  subscriptionUpdateId?: number;
  subscriptionUpdateAt?: Date;
  /** When the subscription became what it is. */
  subscriptionAt?: Date;
}

interface Mark {
  readonly filter: Filter<Row>;
  readonly update: UpdateFilter<Row>;
}

/**
 * After a week without updates Telegram counts from a random id again (docs/protocol.md): an id is only compared with one that is younger
 * than this, ms. Six days: less than that week, more than the two days that anything unsettled is likely to wait.
 */
const IDS_HOLD_MS = 6 * 86_400_000;

/** Opens the chats of `bot`. */
export function subscribers(store: Pick<Store, 'models'>, bot: string): Subscribers {
  const chats = store.models.Chats.collection as unknown as Collection<Row>;

  const mark = backToBack<Mark, void>(async (marks) => {
    const refused = await write(chats, marks, true);
    // Refused: a newer update was there first, or someone made the row in the same moment. Without upsert the former matches nothing.
    if (refused.length > 0) await write(chats, refused, false);
    return marks.map(() => undefined);
  });

  return {
    mark: ({ chatId, type, reach, profile }, { updateId, at }) => {
      const { firstName, lastName, username, languageCode } = profile ?? {};
      const given = { firstName, lastName, username, languageCode };
      // A language is only told by the person's own messages; a name that is missing was taken away.
      const absent =
        profile === undefined
          ? []
          : (['firstName', 'lastName', 'username'] as const).filter((name) => given[name] === undefined);
      const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      const unset = Object.fromEntries([...absent, ...(reach === 'ok' ? ['blockedAt'] : [])].map((name) => [name, '']));
      return mark({
        filter: { bot, chatId, $or: olderThan('lastUpdateId', 'lastUpdateAt', updateId, at) },
        update: {
          $set: {
            type,
            reach,
            lastUpdateAt: at,
            lastUpdateId: updateId,
            ...(reach === 'ok' ? {} : { blockedAt: at }),
            ...set,
          },
          ...(Object.keys(unset).length === 0 ? {} : { $unset: unset }),
          $setOnInsert: { _id: new ObjectId(), tags: [], createdAt: at },
        } as UpdateFilter<Row>,
      });
    },
    async subscribe(chatId, subscription, { updateId, at }) {
      const filter = { bot, chatId, $or: olderThan('subscriptionUpdateId', 'subscriptionUpdateAt', updateId, at) };
      const stamp = { subscriptionUpdateId: updateId, subscriptionUpdateAt: at };
      await chats.bulkWrite([
        {
          updateOne: {
            filter: { ...filter, subscription: { $ne: subscription } },
            update: { $set: { subscription, subscriptionAt: at, ...stamp } },
          },
        },
        // It was so already: `since` stays, but no older update may change it any more.
        { updateOne: { filter, update: { $set: stamp } } },
      ]);
    },
    move: (move) => moveChat(store.models.Chats.collection as unknown as Collection, bot, move),
    async find(chatId) {
      const row = await chats.findOne(
        { bot, chatId },
        { projection: { subscription: 1, subscriptionAt: 1, createdAt: 1 } },
      );
      if (row === null) return undefined;
      return {
        chatId,
        ...(row.subscription === undefined ? {} : { subscription: row.subscription }),
        since: row.subscriptionAt ?? row.createdAt,
      };
    },
  };
}

/** The alternatives under which a row's stamp (`id`, `time`) is older than the update. */
function olderThan(id: string, time: string, updateId: number, at: Date): Record<string, unknown>[] {
  return [
    { [id]: { $exists: false } },
    { [id]: { $lt: updateId } },
    { [time]: { $lt: new Date(at.getTime() - IDS_HOLD_MS) } },
  ];
}

/** Answers those that a unique index refused. */
async function write(chats: Collection<Row>, marks: readonly Mark[], upsert: boolean): Promise<Mark[]> {
  try {
    await chats.bulkWrite(
      marks.map((mark) => ({ updateOne: { ...mark, upsert } })),
      { ordered: false },
    );
    return [];
  } catch (error) {
    const indexes = duplicates(error);
    if (indexes === undefined) throw error;
    return indexes.flatMap((index) => marks[index] ?? []);
  }
}
