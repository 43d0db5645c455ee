import { z } from 'zod';
import { boundedText } from './bounded-text.js';

/** Rows of a list when none are asked for, and at most. */
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;
const LIMIT = `an integer from 1 to ${MAX_LIMIT}`;
/** What is expected of a cursor. */
export const CURSOR = 'a cursor that a list answered as next';

const SINCE = 'a time in ISO 8601 with its zone, such as 2026-01-31T12:00:00Z, or a day (in UTC)';
const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

/** `since` of a query: what happened then or later. */
export const since = z
  .string(SINCE)
  .regex(TIME, SINCE)
  .transform((text) => new Date(text))
  .refine((time) => !Number.isNaN(time.getTime()), SINCE);

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
