/** The kinds of entities of the Bot API's MessageEntity. */
export type EntityType =
  | 'mention'
  | 'hashtag'
  | 'cashtag'
  | 'bot_command'
  | 'url'
  | 'email'
  | 'phone_number'
  | 'bold'
  | 'italic'
  | 'underline'
  | 'strikethrough'
  | 'spoiler'
  | 'blockquote'
  | 'expandable_blockquote'
  | 'code'
  | 'pre'
  | 'text_link'
  | 'text_mention'
  | 'custom_emoji';

/** A marked part of a text; offset and length count UTF-16 units. */
export interface TextEntity {
  readonly offset: number;
  readonly length: number;
  readonly type: EntityType;
  /** Of a text_link. */
  readonly url?: string;
  /** Of a text_mention: the user's id. */
  readonly userId?: number;
  /** Of a pre that names one. */
  readonly language?: string;
  /** Of a custom_emoji: an int64 in decimal. */
  readonly custom_emoji_id?: string;
}

/** A text with its entities, sorted as `compareEntities` tells. */
export interface FormattedText {
  readonly text: string;
  readonly entities: readonly TextEntity[];
}

/** Which of two entities of the same place is the outer one: the lower number. */
const PRIORITY: Readonly<Record<EntityType, number>> = {
  blockquote: 0,
  expandable_blockquote: 0,
  pre: 11,
  code: 20,
  text_link: 49,
  text_mention: 49,
  mention: 50,
  hashtag: 50,
  cashtag: 50,
  bot_command: 50,
  url: 50,
  email: 50,
  phone_number: 50,
  bold: 90,
  italic: 91,
  underline: 92,
  strikethrough: 93,
  spoiler: 94,
  custom_emoji: 99,
};
const PRE_WITH_LANGUAGE = 10;

/** Kinds that Telegram splits where another entity begins or ends, and joins where two of a kind meet; in the order in which it writes the parts. */
export const SPLITTABLE = ['bold', 'italic', 'underline', 'strikethrough', 'spoiler'] as const;
type Splittable = (typeof SPLITTABLE)[number];

/** Whether an entity may be split and joined. Never throws. */
export function isSplittable(entity: TextEntity): entity is TextEntity & { readonly type: Splittable } {
  return (SPLITTABLE as readonly string[]).includes(entity.type);
}

/** Whether an entity is a quotation. Never throws. */
export function isQuote({ type }: TextEntity): boolean {
  return type === 'blockquote' || type === 'expandable_blockquote';
}

/** Whether an entity is code, which holds no other and lies in a quotation at most. Never throws. */
export function isCode({ type }: TextEntity): boolean {
  return type === 'pre' || type === 'code';
}

/** The order in which Telegram gives entities: by offset, the longer first, then the outer kind. Never throws. */
export function compareEntities(a: TextEntity, b: TextEntity): number {
  return a.offset - b.offset || b.length - a.length || priorityOf(a) - priorityOf(b);
}

function priorityOf({ type, language }: TextEntity): number {
  return type === 'pre' && language !== undefined ? PRE_WITH_LANGUAGE : PRIORITY[type];
}

/** Where an entity ends: the offset of the unit behind it. Never throws. */
export function endOf({ offset, length }: TextEntity): number {
  return offset + length;
}

/** Entities in Telegram's order, without those that overlap one before them. Never throws. */
export function withoutOverlaps(sorted: readonly TextEntity[]): TextEntity[] {
  let end = 0;
  return sorted.filter((entity) => {
    if (entity.offset < end) return false;
    end = endOf(entity);
    return true;
  });
}
