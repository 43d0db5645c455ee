import type { Journal } from './journal.js';
import type { MessageLog } from './message-log.js';
import { type JournalRecord, readRecord } from './record.js';
import { messageIn, newestIn, type Place, type StoredMessage } from './stored-message.js';

/** The messages of all chats, read from the journal as they stand now; what was deleted or given up is not there. Never throws. */
export class Messages {
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** The message with an id. */
  find(place: Place, id: number): StoredMessage | undefined {
    const log = logOf(place);
    const change = log.change(id);
    if (change !== undefined) return this.#at(change.newest, place, id);
    const range = log.range(id);
    if (range === undefined) return undefined;
    for (const [line] of this.#journal.lines(...range)) {
      const record = mayHold(line, place, id) ? parse(line) : undefined;
      const message = record && messageIn(record, place, id);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  /** All messages of a place, newest first, each read when asked for. */
  *history(place: Place): Generator<StoredMessage> {
    const log = logOf(place);
    let offset = newestIn(place);
    while (offset !== 0) {
      const written = this.#at(offset, place);
      if (written === undefined) return;
      offset = written.before;
      const change = log.change(written.id);
      const now = change === undefined ? written : this.#at(change.newest, place, written.id);
      if (now !== undefined) yield now;
    }
  }

  /** The record at an offset; undefined for 0 and for one that was given up. */
  record(offset: number): JournalRecord | undefined {
    const line = offset < this.#journal.oldest || offset <= 0 ? undefined : this.#journal.read(offset);
    return line === undefined ? undefined : parse(line);
  }

  #at(offset: number, place: Place, id?: number): StoredMessage | undefined {
    const record = this.record(offset);
    return record && messageIn(record, place, id);
  }
}

function logOf({ chat, bot }: Place): MessageLog {
  return chat === undefined ? bot.log : chat.log;
}

/** Whether a line is worth parsing in search of a message. */
function mayHold(line: string, { chat, bot, id: place }: Place, id: number): boolean {
  if (chat !== undefined) return line.includes(`{"message":{"chat":${place},"id":${id},`);
  return line.startsWith(`,${bot.making.id},${place},${id},`, '["s"'.length);
}

function parse(line: string): JournalRecord | undefined {
  try {
    return readRecord(line);
  } catch {
    return undefined;
  }
}
