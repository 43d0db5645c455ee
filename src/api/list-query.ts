import { z } from 'zod';
import { boundedText } from './bounded-text.js';

/** Rows of a list when none are asked for, and at most. */
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const LIMIT = `an integer from 1 to ${MAX_LIMIT}`;
/** What is expected of a cursor. */
export const CURSOR = 'a cursor that a list answered as next';

/** The query fields that each list has: `limit` (default 100, at most 1,000) and an opaque `cursor`. Values arrive as texts. */
export const listQuery = {
  limit: z
    .string(LIMIT)
    .regex(/^\d{1,4}$/, LIMIT)
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= MAX_LIMIT, LIMIT)
    .default(DEFAULT_LIMIT),
  cursor: boundedText(1, 200, CURSOR).optional(),
};
