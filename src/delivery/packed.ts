import { classCode, classOf, type Lane, laneCode, laneOf, type MessageClass } from './lanes.js';

/** Bytes of one packed head: chat id (float64), body (uint32), lane (uint8), class (uint8), two spare. */
export const HEAD_BYTES = 16;

/** One item of a page of messages. */
export interface Head {
  readonly chatId: number;
  /** Index in the page's bodies. */
  readonly body: number;
  readonly lane: Lane;
  readonly class: MessageClass;
}

/** Packs heads, little-endian, 16 bytes each. Never throws. */
export function packHeads(heads: readonly Head[]): Buffer {
  const buffer = Buffer.alloc(heads.length * HEAD_BYTES);
  heads.forEach((head, index) => {
    const at = index * HEAD_BYTES;
    buffer.writeDoubleLE(head.chatId, at);
    buffer.writeUInt32LE(head.body, at + 8);
    buffer.writeUInt8(laneCode(head.lane), at + 12);
    buffer.writeUInt8(classCode(head.class), at + 13);
  });
  return buffer;
}

/** The head at `index`. Throws RangeError when there is none. */
export function headAt(heads: Buffer, index: number): Head {
  const at = index * HEAD_BYTES;
  return {
    chatId: heads.readDoubleLE(at),
    body: heads.readUInt32LE(at + 8),
    lane: laneOf(heads.readUInt8(at + 12)),
    class: classOf(heads.readUInt8(at + 13)),
  };
}

/** Bytes of a packed chat id. */
const CHAT_BYTES = 8;

/** Packs chat ids, float64 little-endian. */
export function packChats(chats: readonly number[]): Buffer {
  const buffer = Buffer.alloc(chats.length * CHAT_BYTES);
  chats.forEach((chat, index) => {
    buffer.writeDoubleLE(chat, index * CHAT_BYTES);
  });
  return buffer;
}

/** The chat ids of a packed list. Never throws. */
export function unpackChats(packed: Buffer): number[] {
  return Array.from({ length: packed.length / CHAT_BYTES }, (_, index) => packed.readDoubleLE(index * CHAT_BYTES));
}

/** Bytes of one packed result: code (uint8), attempts (uint8), two spare, message id (float64 at 4), time (float64 at 12, epoch ms), four spare. */
export const RESULT_BYTES = 24;

/** Items of a page of messages whose outcomes share one row of `results`: a page of 10,000 is rewritten in pieces of 12 KB, not of 240 KB. */
export const CHUNK_ITEMS = 512;

/** Final states of a delivery, by code; 0 is not settled. */
export const STATES = ['queued', 'sent', 'blocked', 'dead', 'unknown', 'cancelled', 'skipped'] as const;

/** A final state of a delivery. */
export type FinalState = Exclude<(typeof STATES)[number], 'queued'>;

/** How many items ended in each final state. */
export type TallyCounts = Record<FinalState, number>;

/** A tally of nothing. */
export const emptyTally = (): TallyCounts => ({ sent: 0, blocked: 0, dead: 0, unknown: 0, cancelled: 0, skipped: 0 });

/** The sum of two tallies. */
export function addTally(a: TallyCounts, b: TallyCounts): TallyCounts {
  return {
    sent: a.sent + b.sent,
    blocked: a.blocked + b.blocked,
    dead: a.dead + b.dead,
    unknown: a.unknown + b.unknown,
    cancelled: a.cancelled + b.cancelled,
    skipped: a.skipped + b.skipped,
  };
}

/** How many items a tally counts. */
export const tallied = (tally: TallyCounts): number =>
  tally.sent + tally.blocked + tally.dead + tally.unknown + tally.cancelled + tally.skipped;

/** The outcome of one item as it is stored. `at` is epoch ms. */
export interface StoredResult {
  readonly state: (typeof STATES)[number];
  readonly attempts: number;
  readonly messageId: number;
  readonly at: number;
}

/** Writes the outcome of the item at `index` of a chunk. */
export function writeResult(items: Buffer, index: number, result: StoredResult): void {
  const at = index * RESULT_BYTES;
  items.writeUInt8(STATES.indexOf(result.state), at);
  items.writeUInt8(Math.min(result.attempts, 255), at + 1);
  items.writeDoubleLE(result.messageId, at + 4);
  items.writeDoubleLE(result.at, at + 12);
}

/** The outcome at `index` of a chunk; `queued` when it is not settled. Throws RangeError when there is no such item. */
export function resultAt(items: Buffer, index: number): StoredResult {
  const at = index * RESULT_BYTES;
  return {
    state: STATES[items.readUInt8(at)] ?? 'queued',
    attempts: items.readUInt8(at + 1),
    messageId: items.readDoubleLE(at + 4),
    at: items.readDoubleLE(at + 12),
  };
}
