import type { Bot } from './bot.js';
import type { Chat } from './chats.js';
import { FIRST_PERSON_ID } from './people.js';
import type { JournalRecord, MessageExtra } from './record.js';

/** A bot's private chat with a person, whose id is the chat's. */
interface PrivatePlace {
  readonly id: number;
  readonly bot: Bot;
  readonly chat?: undefined;
}

/** A group, supergroup or channel. */
interface ChatPlace {
  readonly id: number;
  readonly chat: Chat;
  readonly bot?: undefined;
}

/** Where messages stand: a sequence of them that belongs together. `id` is the Bot API's chat id. */
export type Place = PrivatePlace | ChatPlace;

/** A message as the journal keeps it, one version of it. */
export interface StoredMessage {
  /** Id of the person (in a private chat) or of the chat. */
  readonly chat: number;
  readonly id: number;
  /** Id of the person or the bot who wrote it, in channels too. */
  readonly from: number;
  /** When it was written (ms since the epoch). */
  readonly at: number;
  /** Journal offset of the message before, 0 for none. */
  readonly before: number;
  /** '' when it is no text. */
  readonly text: string;
  readonly extra: MessageExtra;
  /** When it was edited last (ms since the epoch). */
  readonly editedAt?: number;
}

/** Journal offset of a place's newest message, 0 for none. Never throws. */
export function newestIn({ chat, bot, id }: Place): number {
  return chat === undefined ? bot.dialogs.newest(id - FIRST_PERSON_ID) : chat.newest;
}

/** The message of a place (and of that id, if given) that a record holds, whichever version; undefined when it holds none. Never throws. */
export function messageIn(record: JournalRecord, place: Place, id?: number): StoredMessage | undefined {
  switch (record[0]) {
    case 's':
    case 'm': {
      const [kind, bot, person, messageId, at, before, text, extra = {}] = record;
      if (bot !== place.bot?.making.id || person !== place.id || (id !== undefined && id !== messageId)) {
        return undefined;
      }
      return { chat: person, id: messageId, from: kind === 's' ? bot : person, at, before, text, extra };
    }
    case 'g':
      for (const event of record[2]) {
        if (!('message' in event)) continue;
        const { message } = event;
        if (message.chat === place.id && (id === undefined || id === message.id)) return message;
      }
      return undefined;
    default:
      return undefined;
  }
}
