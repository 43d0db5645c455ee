import { TOP_LEVEL_DOMAINS } from './top-level-domains.js';

/** A part of a text that Telegram takes for an address of a page or of a mailbox; offset and length count UTF-16 units. */
export interface FoundUrl {
  readonly offset: number;
  readonly length: number;
  readonly isEmail: boolean;
}

// Classes of UTF-16 units as tdlib has them: separators end everything, and of general punctuation only joiners and dashes belong to addresses.
const WIDE = '\\u1681-\\u1fff\\u200c\\u200d\\u2010-\\u2015\\u2070-\\u2fff\\u3001-\\uffff';
const DOMAIN_SIGN = new RegExp(`[.\\w~\\-\\u00c0-\\u167f${WIDE}]`);
const PATH_SIGN = new RegExp(`[\\0-\\t\\v-\\x1f!#-;=?-\\x9f\\u00a1-\\u167f${WIDE}]`);
const USER_SIGN = new RegExp(`[\\0-\\t\\v-\\x1f!#-&*-.0-;=?A-Z\\\\^_a-z|~\\x7f-\\x9f\\u00a1-\\u167f${WIDE}]`);
const SCHEME_SIGN = new RegExp(`[A-Za-z0-9+\\-\\x80-\\x9f\\u00a1-\\u167f${WIDE}]`);
const QUOTES = '«»';
const BAD_ENDS = ".:;,('?!`";
const WORD = /[\p{L}\p{N}_]$/u;
const TELEGRAM_LINK = /(?:tonsite|ton|tg):\/\/[\w-]{1,253}/gi;
const PORT_MAX = 65_535;
const LABEL_MAX = 63;

/** The addresses in a text: those of pages (http, https, ftp, tg, ton, or a bare domain of a known ending) and of mailboxes. In any order; some may overlap. Never throws. */
export function findUrls(text: string): FoundUrl[] {
  const found: FoundUrl[] = [];
  for (const match of text.matchAll(TELEGRAM_LINK)) {
    const end = pathEnd(text, match.index + match[0].length);
    found.push({ offset: match.index, length: end - match.index, isEmail: false });
  }
  // What lies before `begin` is done with; no address reaches back over it.
  let begin = 0;
  for (let dot = text.indexOf('.'); dot >= 0 && dot + 1 < text.length; dot = text.indexOf('.', begin)) {
    const { from, to, isBad } = addressAround(text, begin, dot);
    if (!isBad && to > dot + 1) {
      const address = checkAddress(text.slice(from, to));
      if (address !== undefined) found.push({ ...address, offset: from + address.offset });
    }
    let end = to;
    if (isBad) while (end > dot + 1 && text[end - 1] !== '.') end -= 1;
    else while (text[end] === '.') end += 1;
    begin = Math.max(end, dot + 1);
  }
  return found;
}

function isSign(text: string, at: number, sign: RegExp): boolean {
  const unit = text[at];
  return unit !== undefined && sign.test(unit) && !QUOTES.includes(unit);
}

/** Where a run of signs that goes back from `to` begins, at or behind `begin`. */
function runBefore(text: string, begin: number, to: number, sign: RegExp): number {
  let from = to;
  while (from > begin && isSign(text, from - 1, sign)) from -= 1;
  return from;
}

/** The end of the path that begins at an offset; the offset itself for none. */
function pathEnd(text: string, at: number): number {
  const first = text[at];
  if (first !== '/' && first !== '?' && first !== '#') return at;
  let end = at + 1;
  while (isSign(text, end, PATH_SIGN)) end += 1;
  while (end > at + 1 && BAD_ENDS.includes(text[end - 1] ?? '')) end -= 1;
  return first === '/' || end > at + 1 ? end : at;
}

function portEnd(text: string, at: number): number {
  const digits = /^:0*(\d{1,5})(?!\d)/.exec(text.slice(at, at + 64))?.[0];
  const port = Number(digits?.slice(1) ?? 0);
  return digits !== undefined && port > 0 && port <= PORT_MAX ? at + digits.length : at;
}

/** The whole run around a dot that could be an address, and whether what stands before it says that it is none. */
function addressAround(text: string, begin: number, dot: number): { from: number; to: number; isBad: boolean } {
  let from = runBefore(text, begin, dot, DOMAIN_SIGN);
  let to = dot;
  let hasUser = false;
  for (; text[to] === '@' || isSign(text, to, DOMAIN_SIGN); to += 1) hasUser ||= text[to] === '@';
  if (hasUser) from = runBefore(text, begin, from, USER_SIGN);
  to = pathEnd(text, portEnd(text, to));
  while (to > dot + 1 && text[to - 1] === '.') to -= 1;
  let isBad = false;
  if (from > begin && text[from - 1] === '@') {
    const user = runBefore(text, begin, from - 1, USER_SIGN);
    isBad = hasUser || user === from - 1;
    from = user;
  }
  if (from === begin) return { from, to, isBad };
  if (from - begin >= 6 && text.startsWith('://', from - 3)) {
    const scheme = text.slice(runBefore(text, begin, from - 3, SCHEME_SIGN), from - 3).toLowerCase();
    const known = knownScheme(scheme);
    return known === undefined ? { from, to, isBad: true } : { from: from - 3 - known.length, to, isBad };
  }
  const before = text.slice(Math.max(begin, from - 2), from);
  return { from, to, isBad: isBad || WORD.test(before) || /[/#@]$/.test(before) };
}

function knownScheme(scheme: string): string | undefined {
  if (scheme.endsWith('http') && scheme !== 'shttp') return 'http';
  if (scheme.endsWith('https')) return 'https';
  return scheme.endsWith('ftp') && scheme !== 'tftp' && scheme !== 'sftp' ? 'ftp' : undefined;
}

/** What of a run that looks like an address is one; its offset is within the run. */
function checkAddress(run: string): FoundUrl | undefined {
  if (isEmail(run)) return { offset: 0, length: run.length, isEmail: true };
  const mail = 'mailto:';
  if (run.startsWith(mail) && isEmail(run.slice(mail.length))) {
    return { offset: mail.length, length: run.length - mail.length, isEmail: true };
  }
  const [scheme = ''] = /^(?:https?|ftp|tonsite):\/\//i.exec(run) ?? [];
  const authority = /^[^/?#]*/.exec(run.slice(scheme.length))?.[0] ?? '';
  if (!isHost(authority.slice(authority.indexOf('@') + 1).replace(/:[^:]*$/, ''), scheme !== '')) return undefined;
  const path = run.slice(scheme.length + authority.length);
  return { offset: 0, length: run.length - path.length + balancedLength(path), isEmail: false };
}

/** How much of a path belongs to the address: up to a bracket that closes none, without the punctuation before it. */
function balancedLength(path: string): number {
  const open: Record<string, number> = { ')': 0, ']': 0, '}': 0 };
  const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };
  let length = 0;
  for (; length < path.length; length += 1) {
    const sign = path[length] ?? '';
    const end = closing[sign];
    if (end !== undefined) open[end] = (open[end] ?? 0) + 1;
    else if (sign in open) {
      const left = (open[sign] ?? 0) - 1;
      if (left < 0) break;
      open[sign] = left;
    }
  }
  while (length > 0 && BAD_ENDS.includes(path[length - 1] ?? '')) length -= 1;
  return length;
}

function isHost(host: string, hasScheme: boolean): boolean {
  const labels = host.split('.');
  if (labels.length < 2 || host.toLowerCase() === 'teiegram.org') return false;
  if (labels.some((label) => label === '' || Buffer.byteLength(label) > LABEL_MAX || label.endsWith('-'))) return false;
  if (labels.every((label) => /^\d+$/.test(label))) {
    return labels.length === 4 && labels.every((label) => /^(?:0|[1-9]\d{0,2})$/.test(label) && Number(label) < 256);
  }
  const ending = labels.at(-1) ?? '';
  if ([...ending].length < 2) return false;
  if (ending.startsWith('xn--')) {
    if (!/^xn--[A-Za-z0-9]{2,}$/.test(ending)) return false;
  } else if (/[_-]/.test(ending) || !(hasScheme || isKnownEnding(ending))) return false;
  return !(labels.at(-2) ?? '').includes('_');
}

/** Whether a domain's last label is a known one, written in one case. */
function isKnownEnding(ending: string): boolean {
  const lower = ending.toLowerCase();
  if (lower !== ending && [...lower].slice(1).join('') === [...ending].slice(1).join('')) return false;
  return TOP_LEVEL_DOMAINS.has(lower);
}

function isEmail(run: string): boolean {
  const [user = '', domain = '', more] = run.split('@');
  if (more !== undefined || domain === '') return false;
  if (!/^(?:[\w-]{0,26}[.+]){0,10}[\w-]{1,35}$/.test(user)) return false;
  return /^(?:[A-Za-z0-9](?:[\w-]{0,28}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,8}$/.test(domain);
}
