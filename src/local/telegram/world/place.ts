import type { Bot } from './bot.js';
import type { ChatMessage } from './chat-events.js';
import type { Chat } from './chats.js';
import { FIRST_PERSON_ID } from './people.js';
import type { JournalRecord } from './record.js';

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

/** Journal offset of a place's newest message, 0 for none. Never throws. */
export function newestIn({ chat, bot, id }: Place): number {
  return chat === undefined ? bot.dialogs.newest(id - FIRST_PERSON_ID) : chat.newest;
}

/** The message of a place (and of that id, if given) that a record holds, whichever version; undefined when it holds none. Never throws. */
export function messageIn(record: JournalRecord, place: Place, id?: number): ChatMessage | undefined {
  switch (record[0]) {
    case 's':
    case 'm': {
      const [kind, bot, person, messageId, at, before, text, extra = {}] = record;
      if (bot !== place.bot?.making.id || person !== place.id || (id !== undefined && id !== messageId)) {
        return undefined;
      }
      return { chat: person, id: messageId, bot, from: kind === 's' ? bot : person, at, before, text, extra };
    }
    case 'g':
      for (const event of record[2]) {
        if (event.kind !== 'written' && event.kind !== 'edited') continue;
        const { message } = event;
        if (message.chat !== place.id || message.bot !== place.bot?.making.id) continue;
        if (id === undefined || id === message.id) return message;
      }
      return undefined;
    default:
      return undefined;
  }
}
