import type { ChatMessage } from './chat-events.js';
import type { Journal } from './journal.js';
import type { MessageLog } from './message-log.js';
import { messageIn, newestIn, type Place } from './place.js';
import { type JournalRecord, readRecord } from './record.js';

/** The messages of all chats, read from the journal as they stand now; what was deleted or given up is not there. Never throws. */
export class Messages {
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** The message with an id. */
  find(place: Place, id: number): ChatMessage | undefined {
    return this.locate(place, id)?.message;
  }

  /** The message with an id, and the journal offset of the record that it was written by. */
  locate(place: Place, id: number): { message: ChatMessage; first: number } | undefined {
    const log = logOf(place);
    const change = log.change(id);
    if (change !== undefined) {
      const message = this.#at(change.newest, place, id);
      return message && { message, first: change.first };
    }
    const range = log.range(id);
    if (range === undefined) return undefined;
    for (const [line, offset] of this.#journal.lines(...range)) {
      const record = mayHold(line, place, id) ? parse(line) : undefined;
      const message = record && messageIn(record, place, id);
      if (message !== undefined) return { message, first: offset };
    }
    return undefined;
  }

  /** All messages of a place, newest first, each read when asked for. */
  *history(place: Place): Generator<ChatMessage> {
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

  #at(offset: number, place: Place, id?: number): ChatMessage | undefined {
    const record = this.record(offset);
    return record && messageIn(record, place, id);
  }
}

function logOf({ chat, bot }: Place): MessageLog {
  return chat === undefined ? bot.log : chat.log;
}

/** Whether a line is worth parsing in search of a message. */
function mayHold(line: string, { chat, bot, id: place }: Place, id: number): boolean {
  if (line.includes(`"message":{"chat":${place},"id":${id},`)) return true;
  return chat === undefined && line.startsWith(`,${bot.making.id},${place},${id},`, '["s"'.length);
}

function parse(line: string): JournalRecord | undefined {
  try {
    return readRecord(line);
  } catch {
    return undefined;
  }
}
