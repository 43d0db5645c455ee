import { type Document, ObjectId } from 'mongodb';

/** What the bench stores: the shape of a row of `updates`, about 300 bytes of BSON. */
export interface BenchDocument extends Document {
  readonly _id: ObjectId;
  readonly bot: string;
  readonly updateId: number;
  readonly state: string;
}

export const BOT = '123456789';

/** The indexes of `updates`, without that by time. */
export const INDEXES = [
  { key: { bot: 1, updateId: 1 }, name: 'bot_1_updateId_1', unique: true },
  { key: { bot: 1, state: 1, updateId: 1 }, name: 'bot_1_state_1_updateId_1' },
] as const;

const AT = Date.UTC(2026, 0, 1);

/** The id of the document of that number, in ascending order. Never throws. */
export function idOf(number: number): ObjectId {
  return new ObjectId(`65920080${number.toString(16).padStart(16, '0')}`);
}

/** The document of that number: always the same one. Never throws. */
export function documentOf(number: number): BenchDocument {
  const chat = (number * 7919) % 1_000_003;
  return {
    _id: idOf(number),
    bot: BOT,
    updateId: 500_000_000 + number,
    chat,
    body: {
      message_id: number,
      from: { id: chat, is_bot: false, first_name: `Person ${chat}`, language_code: 'en' },
      chat: { id: chat, type: 'private' },
      text: `/start invited-by-${(number * 31) % 100_003} with a word or two`,
    },
    state: 'queued',
    tries: 0,
    crashes: 0,
    at: new Date(AT + number * 1_000),
  };
}

/** `count` numbers from `low` up to but without `high`, scattered, none twice, the same for the same `round`. `count` must not exceed the room. Never throws. */
export function scattered(count: number, low: number, high: number, round: number): number[] {
  const room = high - low;
  // A prime that is no factor of the room walks through all of it before a number comes again.
  const step = [7_919, 104_729, 15_485_863].find((prime) => room % prime !== 0) ?? 1;
  return Array.from({ length: count }, (_, i) => low + (((i + round * count) * step) % room));
}
