/** What the chat page and its server say to each other: types only, used by both sides. Times are whole seconds since the epoch where the Bot API has them so, else ms. */

/** The Bot API's User; of a channel that posts in its own name the Chat, which has a title instead. */
export interface WireUser {
  readonly id: number;
  readonly is_bot?: boolean;
  readonly first_name?: string;
  readonly title?: string;
  readonly last_name?: string;
  readonly username?: string;
}

/** The Bot API's MessageEntity; offset and length in UTF-16 units. */
export interface WireEntity {
  readonly type: string;
  readonly offset: number;
  readonly length: number;
  readonly url?: string;
  readonly user?: WireUser;
  readonly language?: string;
}

/** A button of either keyboard, as the bot gave it. */
export interface WireButton {
  readonly text: string;
  readonly callback_data?: string;
  readonly url?: string;
  readonly copy_text?: { readonly text: string };
}

/** The Bot API's reply_markup: at most one of the first four says what it is. */
export interface WireMarkup {
  readonly inline_keyboard?: readonly (readonly WireButton[])[];
  readonly keyboard?: readonly (readonly (WireButton | string)[])[];
  readonly remove_keyboard?: boolean;
  readonly force_reply?: boolean;
  readonly one_time_keyboard?: boolean;
  readonly is_persistent?: boolean;
  readonly input_field_placeholder?: string;
}

/** The Bot API's PhotoSize; the bytes are at `/local/files/<file_unique_id>`. */
export interface WirePhotoSize {
  readonly file_id: string;
  readonly file_unique_id: string;
  readonly file_size: number;
  readonly width: number;
  readonly height: number;
}

/** The Bot API's Document; the bytes are at `/local/files/<file_unique_id>`. */
export interface WireDocument {
  readonly file_id: string;
  readonly file_unique_id: string;
  readonly file_size: number;
  readonly file_name?: string;
  readonly mime_type: string;
}

/** A message as `GET /local/messages` shows it (docs/contract.md); `date` and `editDate` in seconds. */
export interface WireMessage {
  readonly messageId: number;
  readonly from: WireUser;
  readonly date: number;
  readonly text?: string;
  readonly entities?: readonly WireEntity[];
  /** One photo in its sizes, the largest last. */
  readonly photo?: readonly WirePhotoSize[];
  readonly document?: WireDocument;
  readonly caption?: string;
  readonly captionEntities?: readonly WireEntity[];
  readonly replyMarkup?: WireMarkup;
  readonly editDate?: number;
  /** Id of the message that this one answers. */
  readonly replyTo?: number;
  /** What happened, of a message that nobody wrote. */
  readonly service?: WireService;
}

/** Something that happened in a chat; one of these. */
export interface WireService {
  readonly joined?: readonly WireUser[];
  readonly left?: WireUser;
  /** Id of the message pinned. */
  readonly pinned?: number;
  /** Whether the group became a supergroup, said in the old or the new one. */
  readonly upgraded?: true;
}

/** A person, as `GET /local/people` shows one. */
export interface WirePerson {
  readonly id: number;
  readonly firstName: string;
  readonly username?: string;
  readonly languageCode?: string;
  readonly started: boolean;
}

/** A chat in a person's list, as `GET /local/chats?user=` shows it. In a private chat `id` is the bot's. */
export interface WireChat {
  readonly id: number;
  readonly type: 'private' | 'group' | 'supergroup' | 'channel';
  readonly title: string;
  readonly username?: string;
  /** Whether the person blocks the bot. */
  readonly blocked: boolean;
  /** Of a group or channel: the person's standing, whether the person may write there, and how many are in it. */
  readonly status?: string;
  readonly canWrite?: boolean;
  readonly members?: number;
  /** Of one that the person is not in: whether the person has asked to be let in. */
  readonly requested?: boolean;
  /** The newest message that the person sees. */
  readonly last?: WireMessage;
}

/** Someone in a chat; `status` as in the Bot API's ChatMember. */
export interface WireMember {
  readonly user: WireUser;
  readonly status: string;
}

/** An invite link of a chat, for those who run it. */
export interface WireLink {
  readonly link: string;
  /** '' for none. */
  readonly name: string;
  readonly createsJoinRequest: boolean;
}

/** The chat that an invite link leads to. */
export interface WireInvite {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly createsJoinRequest: boolean;
}

/** A command in the menu of a chat, as `GET /local/commands` shows it. */
export interface WireCommand {
  readonly botId: number;
  readonly botUsername: string;
  readonly command: string;
  readonly description: string;
}

/** Something a bot was told: an update that waits for it, or the answer to a call of its; or that its webhook failed. `at` in ms; `json` may be cut off. */
export interface WireTold {
  readonly at: number;
  readonly botId: number;
  readonly kind: 'update' | 'call' | 'webhook';
  /** The update's kind, the call's method or the webhook's address. */
  readonly what: string;
  /** The chat that the call named. */
  readonly chat?: string;
  /** A few words of the update or of the call's arguments. */
  readonly summary: string;
  readonly json: string;
  /** The answer's status; 0 for what is no call. */
  readonly code: number;
  /** Of what failed: the description that the bot was given, or what went wrong. */
  readonly description?: string;
}

/** How near the bots are to Telegram's limits, and what came of it; bots that send nothing at the moment are left out. */
export interface WireFlood {
  readonly limits: string;
  readonly bots: readonly { readonly botId: number; readonly inSecond: number }[];
  /** What bots sent to groups and channels within the last minute, at most 50 of them. */
  readonly groups: readonly { readonly chat: number; readonly botId: number; readonly inMinute: number }[];
  readonly accepted: number;
  readonly tooMany: number;
  readonly blocked: number;
  /** The newest 429; `retryAfter` in seconds. */
  readonly last?: { readonly at: number; readonly botId: number; readonly method: string; readonly retryAfter: number };
}

/** What `GET /local/events?user=` sends, by the event's name. */
export interface WireEvents {
  /** First on each connection. */
  readonly hello: { readonly told: readonly WireTold[]; readonly flood: WireFlood };
  /** A new message, or a newer version of one that is known. */
  readonly message: { readonly chat: number; readonly message: WireMessage };
  readonly deleted: { readonly chat: number; readonly messageIds: readonly number[] };
  /** The list of chats, or what it shows of one, is to be asked for anew. */
  readonly chats: Record<string, never>;
  /** The commands are to be asked for anew. */
  readonly commands: Record<string, never>;
  readonly told: { readonly entries: readonly WireTold[] };
  readonly flood: WireFlood;
  /** Something was left out, or the world began anew: everything is to be asked for. */
  readonly resync: Record<string, never>;
}
