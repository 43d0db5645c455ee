import { z } from 'zod';

/**
 * A text of `min` to `max` UTF-16 units, as Telegram counts; `expected` says so to who sends another.
 * (zod's own min and max count code points, where an emoji is one instead of two.)
 */
export function boundedText(min: number, max: number, expected: string) {
  return z.string(expected).refine(({ length }) => length >= min && length <= max, expected);
}
