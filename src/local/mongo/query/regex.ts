import { compareValues } from '../bson/compare.js';
import { type RawValue, Type, textOf } from '../bson/raw-value.js';
import { notImplemented, StoreError } from '../errors.js';

// What PCRE reads in another way than JavaScript does, or JavaScript not at all.
const NOT_ALIKE = /\(\?[imsxJU-]+[):]|\(\?[>#|PR&0-9+]|\\[AZzGQEKRXHhNCg]|\[\[?:[a-z^]+:\]|[+*?}]\+|\(\*/;

/** Pattern and flags of a BSON regex. Never throws. */
export function regexParts(value: RawValue): { readonly pattern: string; readonly flags: string } {
  const middle = value.bytes.indexOf(0, value.start);
  return {
    pattern: value.bytes.toString('utf8', value.start, middle),
    flags: value.bytes.toString('utf8', middle + 1, value.end - 1),
  };
}

/** A test of texts by a BSON regex, or by a string with `flags`; a regex equals itself too. Throws NotImplemented for PCRE's own syntax and flag x,
 * 51091 for a pattern that is none. */
export function regexOf(value: RawValue, flags?: string): (value: RawValue) => boolean {
  const own = value.type === Type.regex ? regexParts(value) : { pattern: textOf(value), flags: '' };
  const wanted = flags ?? own.flags;
  if (NOT_ALIKE.test(own.pattern)) throw notImplemented(`this syntax in a regular expression: ${own.pattern}`);
  for (const flag of wanted) {
    if (!'imsu'.includes(flag)) throw notImplemented(`flag ${flag} of regular expressions`);
  }
  let compiled: RegExp;
  try {
    compiled = new RegExp(own.pattern, [...new Set(`${wanted.replaceAll('u', '')}u`)].join(''));
  } catch {
    try {
      compiled = new RegExp(own.pattern, [...new Set(wanted.replaceAll('u', ''))].join(''));
    } catch (error) {
      throw new StoreError(51091, 'Location51091', `Regular expression is invalid: ${(error as Error).message}`);
    }
  }
  return (candidate) => {
    if (candidate.type === Type.string || candidate.type === Type.symbol) return compiled.test(textOf(candidate));
    return candidate.type === Type.regex && value.type === Type.regex && compareValues(candidate, value) === 0;
  };
}
