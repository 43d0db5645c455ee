import type { ChatMaking, InviteLink, JoinRequest, Member } from './chats.js';
import type { MessageExtra } from './record.js';

/** A message of a chat as a record keeps it, one version of it. */
export interface ChatMessage {
  /** Id of the chat; in a private chat the person's. */
  readonly chat: number;
  readonly id: number;
  /** The bot whose private chat with the person it is; absent for other chats. */
  readonly bot?: number;
  /** Id of the person or the bot who wrote it, in channels too. */
  readonly from: number;
  /** When it was written (ms since the epoch). */
  readonly at: number;
  /** Journal offset of the message before, 0 for none. */
  readonly before: number;
  /** '' when it is no text. */
  readonly text: string;
  readonly extra: MessageExtra;
  /** Whether it tells of an event rather than being written by someone. */
  readonly service?: boolean;
  /** Whether an administrator wrote it in the name of the group. */
  readonly anonymous?: boolean;
  /** Author of the message that it replies to. */
  readonly repliesTo?: number;
  /** When it was edited last (ms since the epoch). */
  readonly editedAt?: number;
}

/** A change of someone's standing in a chat. */
export interface MemberChange {
  readonly chat: number;
  readonly user: number;
  /** Who did it; the user himself when he came or went by his own will. */
  readonly by: number;
  readonly old: Member;
  readonly new: Member;
  /** The invite link that he came by. */
  readonly link?: string;
  /** Whether his request to join was approved. */
  readonly viaRequest?: boolean;
}

/** One thing that happened in a chat. What bots are told of it follows from its kind. `bot` is as in `ChatMessage`. */
export type ChatEvent =
  | { readonly kind: 'made'; readonly making: ChatMaking }
  /** `method`: the Bot API's method that a bot wrote it by; absent for people's and service messages. */
  | { readonly kind: 'written'; readonly message: ChatMessage; readonly method?: string }
  /** A newer version; `first` is the offset of the record that the message was written by. */
  | { readonly kind: 'edited'; readonly message: ChatMessage; readonly first: number }
  /** Ids, each with the offset of the record that it was written by. */
  | {
      readonly kind: 'deleted';
      readonly chat: number;
      readonly bot?: number;
      readonly messages: readonly (readonly [number, number])[];
    }
  /** What is pinned from now on, the newest pin last. */
  | { readonly kind: 'pinned'; readonly chat: number; readonly bot?: number; readonly ids: readonly number[] }
  | { readonly kind: 'member'; readonly change: MemberChange }
  /** Someone asks to join. */
  | { readonly kind: 'requested'; readonly chat: number; readonly request: JoinRequest }
  /** His request is no more: approved, declined, or he came in another way. */
  | { readonly kind: 'answered'; readonly chat: number; readonly user: number }
  /** An invite link is made or changed. */
  | { readonly kind: 'linked'; readonly chat: number; readonly link: InviteLink }
  /** A group became a supergroup. */
  | { readonly kind: 'upgraded'; readonly chat: number; readonly making: ChatMaking }
  /** A chat was deleted. */
  | { readonly kind: 'closed'; readonly chat: number };

/** Several things that happened in chats at one moment (ms), in order; and the updates made of them: bot, update's id, place of the event. */
export type ChatRecord = ['g', number, readonly ChatEvent[], readonly (readonly [number, number, number])[]];

/** The kind of update (a field of the Bot API's Update) that a bot gets of an event, undefined for none. Never throws. */
export function updateKind(event: ChatEvent, bot: number, isChannel: boolean): string | undefined {
  switch (event.kind) {
    case 'written':
      return isChannel ? 'channel_post' : 'message';
    case 'edited':
      return isChannel ? 'edited_channel_post' : 'edited_message';
    case 'member':
      return event.change.user === bot ? 'my_chat_member' : 'chat_member';
    case 'requested':
      return 'chat_join_request';
    default:
      return undefined;
  }
}
