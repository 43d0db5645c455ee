/** Every kind of update there is (Bot API, "Update"): what is not asked for by name, such as chat_member, never comes. */
export const ALLOWED_UPDATES = [
  'message',
  'edited_message',
  'channel_post',
  'edited_channel_post',
  'business_connection',
  'business_message',
  'edited_business_message',
  'deleted_business_messages',
  'message_reaction',
  'message_reaction_count',
  'inline_query',
  'chosen_inline_result',
  'callback_query',
  'shipping_query',
  'pre_checkout_query',
  'purchased_paid_media',
  'poll',
  'poll_answer',
  'my_chat_member',
  'chat_member',
  'chat_join_request',
  'chat_boost',
  'removed_chat_boost',
] as const;

/** The kinds of chats of the Bot API. */
type ChatType = 'private' | 'group' | 'supergroup' | 'channel';

/** What a private chat tells of its person. An absent name was taken away by the person. */
interface Profile {
  readonly firstName?: string;
  readonly lastName?: string;
  readonly username?: string;
  readonly languageCode?: string;
}

/** What an update tells of the chat that it comes from. */
export interface ChatFacts {
  readonly chatId: number;
  readonly type: ChatType;
  /** `blocked`: the bot was blocked, kicked or has left. */
  readonly reach: 'ok' | 'blocked';
  /** Private chats only. */
  readonly profile?: Profile;
}

/** What is known of an update before anything handles it. */
export interface UpdateFacts {
  /** The order key: the chat's id, else the sender's, else 0. */
  readonly orderKey: number;
  /** The group that became a supergroup, when this is the service message that says so, in either chat. */
  readonly moved?: { readonly chatId: number; readonly to: number };
  /** Absent when the update comes from no chat of the bot's own (inline queries, polls, business chats). */
  readonly chat?: ChatFacts;
}

/** Kinds whose chat is another account's, not the bot's: they order by it but say nothing of whom the bot can reach. */
const FOREIGN = new Set([
  'business_connection',
  'business_message',
  'edited_business_message',
  'deleted_business_messages',
]);
const TYPES: ReadonlySet<unknown> = new Set(['private', 'group', 'supergroup', 'channel']);
const GONE: ReadonlySet<unknown> = new Set(['kicked', 'left']);

/** Reads what the order and the marks need from an update, of whatever shape. Never throws. */
export function factsOf(update: Readonly<Record<string, unknown>>): UpdateFacts {
  for (const [kind, value] of Object.entries(update)) {
    const content = record(value);
    if (content === undefined) continue;
    const chat = record(content.chat) ?? record(record(content.message)?.chat);
    const from = record(content.from) ?? record(content.user) ?? record(record(content.boost)?.source);
    const orderKey = idOf(chat) ?? idOf(content.voter_chat) ?? idOf(from) ?? idOf(record(from)?.user) ?? 0;
    const facts = FOREIGN.has(kind) ? undefined : chatFacts(kind, content, chat, from);
    const moved = kind === 'message' && facts !== undefined ? moveOf(content, facts.chatId) : undefined;
    return {
      orderKey,
      ...(facts === undefined ? {} : { chat: facts }),
      ...(moved === undefined ? {} : { moved }),
    };
  }
  return { orderKey: 0 };
}

function chatFacts(
  kind: string,
  content: Record<string, unknown>,
  chat: Record<string, unknown> | undefined,
  from: Record<string, unknown> | undefined,
): ChatFacts | undefined {
  const chatId = idOf(chat);
  const type = chat?.type;
  if (chat === undefined || chatId === undefined || !TYPES.has(type)) return undefined;
  const reach = kind === 'my_chat_member' && isGone(record(content.new_chat_member)) ? 'blocked' : 'ok';
  const facts = { chatId, type: type as ChatType, reach } as const;
  if (type !== 'private') return facts;
  const language = idOf(from) === chatId ? textOf(from?.language_code) : undefined;
  const profile = {
    ...named('firstName', chat.first_name),
    ...named('lastName', chat.last_name),
    ...named('username', chat.username),
    ...named('languageCode', language),
  };
  return { ...facts, profile };
}

function moveOf(content: Record<string, unknown>, chatId: number): UpdateFacts['moved'] {
  const to = idOf({ id: content.migrate_to_chat_id });
  if (to !== undefined) return { chatId, to };
  const from = idOf({ id: content.migrate_from_chat_id });
  return from === undefined ? undefined : { chatId: from, to: chatId };
}

function isGone(member: Record<string, unknown> | undefined): boolean {
  return GONE.has(member?.status) || (member?.status === 'restricted' && member.is_member === false);
}

function named<K extends keyof Profile>(name: K, value: unknown): { [k in K]?: string } {
  const text = textOf(value);
  return (text === undefined ? {} : { [name]: text }) as { [k in K]?: string };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function idOf(value: unknown): number | undefined {
  const id = record(value)?.id;
  return typeof id === 'number' && Number.isSafeInteger(id) && id !== 0 ? id : undefined;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
