import { compareValues } from '../bson/compare.js';
import { type RawValue, Type, textOf } from '../bson/raw-value.js';
import { StoreError } from '../errors.js';
import { translatePcre } from './pcre.js';

/** Pattern and flags of a BSON regex. Never throws. */
export function regexParts(value: RawValue): { readonly pattern: string; readonly flags: string } {
  const middle = value.bytes.indexOf(0, value.start);
  return {
    pattern: value.bytes.toString('utf8', value.start, middle),
    flags: value.bytes.toString('utf8', middle + 1, value.end - 1),
  };
}

/** A pattern as PCRE2 reads it. Throws as regexOf. */
export function compileRegex(pattern: string, flags: string): RegExp {
  const translated = translatePcre(pattern, flags);
  try {
    return new RegExp(translated.source, translated.flags);
  } catch (error) {
    throw new StoreError(51091, 'Location51091', `Regular expression is invalid: ${(error as Error).message}`);
  }
}

/** A test of texts by a BSON regex, or by a string with `flags`, as PCRE2 reads them; a regex equals itself too. Throws NotImplemented for what JavaScript's regular
 * expressions have no means for, 51091 for a pattern that is none. */
export function regexOf(value: RawValue, flags?: string): (value: RawValue) => boolean {
  const own = value.type === Type.regex ? regexParts(value) : { pattern: textOf(value), flags: '' };
  const compiled = compileRegex(own.pattern, flags ?? own.flags);
  return (candidate) => {
    if (candidate.type === Type.string || candidate.type === Type.symbol) return compiled.test(textOf(candidate));
    return candidate.type === Type.regex && value.type === Type.regex && compareValues(candidate, value) === 0;
  };
}
