import { notImplemented, StoreError } from '../errors.js';

/** A pattern in JavaScript's syntax. */
export interface Translated {
  readonly source: string;
  readonly flags: string;
}

// What PCRE2 means by these (without UCP, as MongoDB compiles), for a JavaScript pattern with flag u and never m or s.
// None of them takes a quantifier, in PCRE2 as in JavaScript.
const BEFORE_LAST_NEWLINE = '(?=\\n?$)';
const AFTER_NEWLINE = '(?<=^|\\n(?!$))';
const BEFORE_NEWLINE = '(?=\\n|$)';
const SPACES = '\\t\\n\\v\\f\\r ';
const BLANKS = '\\t \\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000';
// What an escape means as a member of a class.
const SETS: Readonly<Record<string, string>> = {
  d: '\\d',
  D: '\\D',
  w: '\\w',
  W: '\\W',
  s: SPACES,
  S: '\\0-\\x08\\x0e-\\x1f\\x21-\\u{10ffff}',
  h: BLANKS,
  v: '\\n\\v\\f\\r\\x85\\u2028\\u2029',
};
const POSIX: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: SPACES,
  blank: '\\t ',
  punct: '!-\\/:-@\\[-`\\{-~',
  xdigit: '0-9A-Fa-f',
  word: 'A-Za-z0-9_',
  cntrl: '\\0-\\x1f\\x7f',
  print: ' -~',
  graph: '!-~',
  ascii: '\\0-\\x7f',
};
const QUANTIFIER = /^(?:[*+?]|\{\d+(?:,\d*)?\})/;

function invalid(reason: string): StoreError {
  return new StoreError(51091, 'Location51091', `Regular expression is invalid: ${reason}`);
}

function literal(char: string): string {
  return /[\^$\\.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}

/** Translates a pattern of PCRE2, with flags among i, m, s, x and u, to JavaScript's syntax: what both read alike stays, what they read differently (`.`, `$`, `^`, `\s`,
 * `]` first in a class, …) is spelled out. Throws NotImplemented naming a construct that JavaScript has no means for, 51091 for a pattern that is none. */
export function translatePcre(pattern: string, flags: string): Translated {
  let options = flags;
  let at = 0;
  let out = '';
  const ends: string[] = [];
  const refuse = (construct: string): StoreError =>
    notImplemented(`${construct} in the regular expression ${JSON.stringify(pattern)}`);

  // Options at the very beginning hold for all of it.
  for (let head = /^\(\?([a-zA-Z]+)\)/.exec(pattern); head !== null; ) {
    options += head[1];
    at += head[0].length;
    head = /^\(\?([a-zA-Z]+)\)/.exec(pattern.slice(at));
  }
  for (const flag of options) if (!'imsxu'.includes(flag)) throw refuse(`flag ${flag}`);
  const multiline = options.includes('m');
  const dotAll = options.includes('s');
  const extended = options.includes('x');

  /** `\x41`, `\x{1F600}`, or `\0` and `\012`; the code point's escape. */
  function codePoint(kind: string): string {
    const rest = pattern.slice(at);
    const digits =
      kind === 'x' ? /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/.exec(rest) : /^([0-7]{0,2})/.exec(rest);
    if (digits === null) throw refuse('\\x without two hexadecimal digits');
    at += digits[0].length;
    const point = Number.parseInt(`0${digits[1] ?? digits[2]}`, kind === 'x' ? 16 : 8);
    if (point > 0x10ffff) throw invalid('a character code that is too large');
    return `\\u{${point.toString(16)}}`;
  }

  /** An escape that means one character, in a class or out of it; undefined when it is none. */
  function character(char: string): string | undefined {
    if ('tnrfv'.includes(char)) return char === 'v' ? undefined : `\\${char}`;
    if (char === 'a') return '\\x07';
    if (char === 'e') return '\\x1b';
    if (char === 'x' || char === '0') return codePoint(char);
    if (/[^A-Za-z0-9]/.test(char)) return literal(char);
    return undefined;
  }

  /** One member of a class: a character, or a set of them, which can begin or end no range. */
  function member(): { readonly text: string; readonly set: boolean } {
    const char = String.fromCodePoint(pattern.codePointAt(at) ?? 0);
    if (at >= pattern.length) throw invalid('a class without its end');
    at += char.length;
    if (char === '[' && /^[:.=]/.test(pattern.slice(at))) {
      const named = /^:([a-z]+):\]/.exec(pattern.slice(at));
      const text = POSIX[named?.[1] ?? ''];
      if (named === null || text === undefined) throw refuse(`[${pattern.slice(at, at + 8)}`);
      at += named[0].length;
      return { text, set: true };
    }
    if (char !== '\\') return { text: char === '-' ? '\\-' : literal(char), set: false };
    const letter = String.fromCodePoint(pattern.codePointAt(at) ?? 0);
    if (at >= pattern.length) throw invalid('\\ at the end');
    at += letter.length;
    const set = SETS[letter];
    if (set !== undefined) return { text: set, set: true };
    const text = letter === 'b' ? '\\x08' : letter === '-' ? '\\-' : character(letter);
    if (text === undefined) throw refuse(`\\${letter} in a class`);
    return { text, set: false };
  }

  function characterClass(): string {
    let body = '[';
    if (pattern[at] === '^') {
      body += '^';
      at++;
    }
    do {
      const low = member();
      body += low.text;
      if (pattern[at] !== '-' || at + 1 >= pattern.length || pattern[at + 1] === ']') continue;
      at++;
      const high = member();
      if (low.set || high.set) throw invalid('a range from or to a set of characters');
      body += `-${high.text}`;
    } while (pattern[at] !== ']');
    at++;
    return `${body}]`;
  }

  function escaped(): string {
    const char = String.fromCodePoint(pattern.codePointAt(at) ?? 0);
    if (at >= pattern.length) throw invalid('\\ at the end');
    at += char.length;
    if ('dDwWbB'.includes(char)) return `\\${char}`;
    switch (char) {
      case 's':
        return `[${SPACES}]`;
      case 'S':
        return `[^${SPACES}]`;
      case 'h':
        return `[${BLANKS}]`;
      case 'H':
        return `[^${BLANKS}]`;
      case 'N':
        if (pattern[at] === '{') throw refuse('\\N{');
        return '[^\\n]';
      case 'v':
        return '[\\n\\v\\f\\r\\x85\\u2028\\u2029]';
      case 'A':
        return '^';
      case 'z':
        return '$';
      case 'Z':
        return BEFORE_LAST_NEWLINE;
      case 'Q': {
        const end = pattern.indexOf('\\E', at);
        const quoted = pattern.slice(at, end < 0 ? pattern.length : end);
        at = end < 0 ? pattern.length : end + 2;
        return [...quoted].map(literal).join('');
      }
      case 'p':
      case 'P': {
        const property = /^\{\^?[A-Za-z_]+\}|^[A-Z]/.exec(pattern.slice(at))?.[0];
        if (property === undefined || property.includes('^')) throw refuse(`\\${char}`);
        at += property.length;
        return `\\${char}${property.startsWith('{') ? property : `{${property}}`}`;
      }
      default:
    }
    // A group that took no part matches the empty text in JavaScript and nothing in PCRE2.
    if (/[1-9kg]/.test(char)) throw refuse('a back reference');
    const one = character(char);
    if (one === undefined) throw refuse(`\\${char}`);
    return one;
  }

  /** What is skipped may not stand between an item and its quantifier: PCRE2's versions read that in different ways. */
  function skipped(): void {
    if (QUANTIFIER.test(pattern.slice(at))) throw refuse('a quantifier after a comment or a space');
  }

  function opened(text: string, end: string): string {
    ends.push(end);
    return text;
  }

  function group(): string {
    const rest = pattern.slice(at);
    if (!rest.startsWith('?')) {
      if (rest.startsWith('*')) throw refuse('a verb (*…)');
      return opened('(', ')');
    }
    const comment = /^\?#[^)]*\)/.exec(rest);
    if (comment !== null) {
      at += comment[0].length;
      skipped();
      return '';
    }
    const plain = /^\?(?::|=|!|<=|<!)/.exec(rest);
    if (plain !== null) {
      at += plain[0].length;
      if (plain[0] === '?:') return opened('(?:', ')');
      // Grouped, since PCRE2 allows a quantifier after it and JavaScript does not.
      return opened(`(?:(${plain[0]}`, '))');
    }
    const named = /^\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/.exec(rest);
    if (named === null) throw refuse(`(${rest.slice(0, 3)}`);
    at += named[0].length;
    return opened(`(?<${named[1] ?? named[2]}>`, ')');
  }

  while (at < pattern.length) {
    const char = String.fromCodePoint(pattern.codePointAt(at) as number);
    const quantifier = QUANTIFIER.exec(pattern.slice(at))?.[0];
    if (quantifier !== undefined) {
      at += quantifier.length;
      if (pattern[at] === '+') throw refuse('a possessive quantifier');
      const lazy = pattern[at] === '?' ? '?' : '';
      at += lazy.length;
      out += quantifier + lazy;
      continue;
    }
    at += char.length;
    if (char === '\\') out += escaped();
    else if (char === '[') out += characterClass();
    else if (char === '(') out += group();
    else if (char === '.') out += dotAll ? '[^]' : '[^\\n]';
    else if (char === '^') out += multiline ? AFTER_NEWLINE : '^';
    else if (char === '$') out += multiline ? BEFORE_NEWLINE : BEFORE_LAST_NEWLINE;
    else if (extended && /[\t\n\v\f\r ]/.test(char)) skipped();
    else if (extended && char === '#') {
      const end = pattern.indexOf('\n', at);
      at = end < 0 ? pattern.length : end + 1;
      skipped();
    } else if (char === ')') {
      const end = ends.pop();
      if (end === undefined) throw invalid('unmatched )');
      out += end;
    } else out += char === '|' ? char : literal(char);
  }
  return { source: out, flags: options.includes('i') ? 'iu' : 'u' };
}
