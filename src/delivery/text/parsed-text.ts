/**
 * What a mark of the source does to a part of the text. `style` may be closed at a cut and opened again behind it; `quote` too, but its end needs a
 * line break when something is closed behind it (MarkdownV2); `whole` (links, code, custom emoji) is never cut.
 */
export type MarkKind = 'style' | 'quote' | 'whole';

/** A marked part of a text, from `from` to before `to` (UTF-16 units of the visible text); `open` and `close` are its marks as the source has them. */
export interface Mark {
  readonly from: number;
  readonly to: number;
  readonly kind: MarkKind;
  readonly open: string;
  readonly close: string;
}

/** A text as a reader sees it, where each of its units lies in the source, and its marks in the order of their begin: the outer before the inner. */
export interface ParsedText {
  readonly text: string;
  /** By unit of the text: where what stands for it begins in the source, and where it ends; absent where the text is its own source. */
  readonly starts?: readonly number[];
  readonly ends?: readonly number[];
  readonly marks: readonly Mark[];
}

/** A mark whose end is not known yet. */
export interface OpenMark {
  from: number;
  to: number;
  kind: MarkKind;
  open: string;
  close: string;
}

const INT64_MAX = 2n ** 63n - 1n;

/** Telegram's words about the identifier of a custom emoji that is none. */
export const INVALID_EMOJI_ID = 'Invalid custom emoji identifier specified';

/** Whether a text is the identifier of a custom emoji: an int64 but 0. Never throws. */
export function isEmojiId(text: string): boolean {
  if (!/^-?[1-9]\d{0,18}$/.test(text)) return false;
  const id = BigInt(text);
  return id <= INT64_MAX && id >= -INT64_MAX - 1n;
}

/** The offset in bytes of UTF-8, as Telegram's errors tell it, of an offset in UTF-16 units. Never throws. */
export const byteOffset = (source: string, at: number): number => Buffer.byteLength(source.slice(0, at));
