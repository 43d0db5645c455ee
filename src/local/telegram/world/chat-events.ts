import type { ChatMaking, Member } from './chats.js';
import type { MessageExtra } from './record.js';

/** A message of a chat as a record keeps it; `from` is the person or bot who wrote it, in channels too. */
export interface ChatMessage {
  readonly chat: number;
  readonly id: number;
  readonly from: number;
  /** When it was written (ms since the epoch). */
  readonly at: number;
  /** Journal offset of the chat's message before, 0 for none. */
  readonly before: number;
  /** '' when it is no text. */
  readonly text: string;
  readonly extra: MessageExtra;
  /** Whether it tells of an event rather than being written by someone. */
  readonly service?: boolean;
  /** Author of the message that it replies to. */
  readonly repliesTo?: number;
}

/** A change of someone's standing in a chat. */
export interface MemberChange {
  readonly chat: number;
  readonly user: number;
  /** Who did it; the user himself when he came or went by his own will. */
  readonly by: number;
  readonly old: Member;
  readonly new: Member;
}

/** One thing that happened in a chat. What bots are told of it follows from its kind. */
export type ChatEvent =
  | { readonly made: ChatMaking }
  /** `method`: the Bot API's method that a bot wrote it by; absent for people's and service messages. */
  | { readonly message: ChatMessage; readonly method?: string }
  | { readonly member: MemberChange };

/** Several things that happened in chats at one moment (ms), in order; and the updates made of them: bot, update's id, place of the event. */
export type ChatRecord = ['g', number, readonly ChatEvent[], readonly (readonly [number, number, number])[]];

/** The kind of update (a field of the Bot API's Update) that a bot gets of an event, undefined for none. Never throws. */
export function updateKind(event: ChatEvent, bot: number, isChannel: boolean): string | undefined {
  if ('message' in event) return isChannel ? 'channel_post' : 'message';
  if ('member' in event) return event.member.user === bot ? 'my_chat_member' : 'chat_member';
  return undefined;
}
