import { z } from 'zod';
import { boundedText } from './bounded-text.js';

/** Most tags of a person or an audience, and most UTF-16 units of one. */
export const MAX_TAGS = 100;
const MAX_TAG = 64;
const TAG = `a tag: a text of 1–${MAX_TAG} UTF-16 units without ; or line ends`;
const TAGS = `at most ${MAX_TAGS} tags`;

/** Tags of people: texts without the `;` that parts them in CSV. */
export const tags = z.array(boundedText(1, MAX_TAG, TAG).regex(/^[^;\r\n]+$/, TAG), TAGS).max(MAX_TAGS, TAGS);
