import type { Media, StoredFile } from '../files/stored-file.js';
import type { Faults } from '../limits/faults.js';
import type { VirtualTime } from '../virtual-clock.js';
import type { BotMaking, BotSettings } from './bot.js';
import type { CallbackQuery } from './callback-queries.js';
import type { ChatRecord } from './chat-events.js';
import type { Counters } from './counters.js';
import type { PeopleRange } from './people.js';

/** Fields of the Bot API's Message beyond the text, as the bot or the person gave them; `parse_mode`, `reply_to` and `media` are the record's own. */
export type MessageExtra = Readonly<Record<string, unknown>> & {
  /** The photo or document of a message, whose text is its caption. */
  readonly media?: Media;
};

/** A bot's accepted message: bot, person, message id, time (ms), offset of the chat's message before (0: none), text, extra, and the method when it was not sendMessage. */
export type SentRecord = ['s', number, number, number, number, number, string, MessageExtra?, string?];

/** A person's message to a bot: as above; then the update's id, 0 when the bot did not want it. */
export type WrittenRecord = ['m', number, number, number, number, number, string, MessageExtra, number];

/** A person blocked (1) or unblocked (0) a bot: bot, person, time, which, the update's id or 0. */
export type BlockRecord = ['k', number, number, number, 0 | 1, number];

/** A person pressed a button: bot, time, what is asked, the update's id or 0. */
export type PressRecord = ['q', number, number, CallbackQuery, number];

/** A line of the journal: what happened, in the past tense, enough to make the world again. */
export type JournalRecord =
  | SentRecord
  | WrittenRecord
  | BlockRecord
  | ChatRecord
  | PressRecord
  /** A bot answered a callback query. */
  | ['w', number, string]
  | ['b', BotMaking]
  | ['p', PeopleRange]
  /** A person deleted the account. */
  | ['x', number]
  /** A bot's settings changed. */
  | ['c', number, BotSettings]
  /** A bot's updates below an id are confirmed. */
  | ['a', number, number]
  /** One update of a bot is done, out of turn. */
  | ['u', number, number]
  /** A file was brought. */
  | ['e', StoredFile]
  | ['f', Faults]
  /** Counters that no other record implies; those that are implied are written along and agree. */
  | ['d', Counters]
  /** The world's time was put forward, stopped or let go. */
  | ['t', VirtualTime]
  /** Reset: whether the world too. */
  | ['r', boolean];

/** Reads a line that this program wrote. Throws a SyntaxError for another. */
export function readRecord(line: string): JournalRecord {
  return JSON.parse(line) as JournalRecord;
}
