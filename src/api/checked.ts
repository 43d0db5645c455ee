import type { z } from 'zod';
import { type FieldError, wrongInput } from './problem.js';

/** At most this many wrong fields are listed in one answer. */
const MAX_ERRORS = 100;
const INVALID = 'PH_INPUT_INVALID';

/** A path as people write it: `messages[3].chatId`; names that are no plain word are quoted. Never throws. */
export function fieldPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(String(part))) text += text === '' ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(String(part).slice(0, 100))}]`;
  }
  return text;
}

/**
 * The input as the schema reads it, defaults filled in; each schema's `error` text is the `expected` of its field.
 * Throws a Problem 400 PH_INPUT_INVALID (or the code that all its fields' checks name, in `params.code`) that lists the first 100 wrong fields; an unknown field is `no such field`.
 */
export function checked<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const errors: FieldError[] = [];
  const codes = new Set<string>();
  for (const issue of result.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        if (errors.length >= MAX_ERRORS) break;
        errors.push({ field: fieldPath([...issue.path, key]), expected: 'no such field' });
        codes.add(INVALID);
      }
    } else {
      errors.push({ field: fieldPath(issue.path), expected: issue.message });
      if (issue.code === 'custom' && typeof issue.params?.code === 'string') codes.add(issue.params.code);
      else codes.add(INVALID);
    }
    if (errors.length >= MAX_ERRORS) break;
  }
  const [code = INVALID] = codes;
  throw wrongInput(errors, codes.size === 1 ? code : INVALID);
}
