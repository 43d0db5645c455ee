import { isIPv6 } from 'node:net';

/** A link as Telegram keeps it, or why it takes none such. */
export type CheckedLink = { readonly url: string } | { readonly fault: string };

/** Which links a place takes: any (tg: and ton: too), or https only. */
export type LinkKind = 'any' | 'https';

const USER_ID_MAX = 2 ** 40 - 1;
const INT64_MAX = 2n ** 63n - 1n;
const HOST_SIGNS = /^(?:[A-Za-z0-9.\-_!$,~*'();&+=\u0080-\u{10ffff}]|%[0-9A-Fa-f]{2})*$/u;
const USER_SIGNS = /^(?:[A-Za-z0-9.\-_!$,~*'();&+=:\u0080-\u{10ffff}]|%[0-9A-Fa-f]{2})*$/u;
const BROKEN_PERCENT = /%(?![0-9A-Fa-f]{2})/;

interface HttpUrl {
  readonly protocol: 'http' | 'https';
  readonly userInfo: string;
  readonly host: string;
  readonly isIpv6: boolean;
  /** 0 for none given. */
  readonly port: number;
  /** Begins with a slash. */
  readonly query: string;
}

/**
 * Checks a link of an entity or a button as tdlib's LinkManager does, and gives it in its canonical form: with a scheme, a host in lower case and a path.
 * `fault` is the reason alone (`Wrong HTTP URL`); `linkFault` makes the sentence around it. Never throws.
 */
export function checkLink(link: string, kind: LinkKind = 'any'): CheckedLink {
  const [, scheme = '', rest = link] = /^(tg|tonsite|ton):(?:\/\/)?(.*)$/isu.exec(link) ?? [];
  const special = scheme.toLowerCase();
  const url = parseHttpUrl(rest);
  if (typeof url === 'string') return { fault: url };
  if (kind === 'https' && (special !== '' || url.protocol !== 'https'))
    return { fault: 'Only HTTPS links are allowed' };
  if (special === '') {
    if (!url.host.includes('.') && !url.isIpv6) return { fault: 'Wrong HTTP URL' };
    const user = url.userInfo === '' ? '' : `${url.userInfo}@`;
    const port = url.port === 0 ? '' : `:${url.port}`;
    return { url: `${url.protocol}://${user}${url.host}${port}${url.query}` };
  }
  if (/^http:\/\//i.test(rest) || url.protocol === 'https' || url.userInfo !== '' || url.port !== 0 || url.isIpv6) {
    return { fault: special === 'tg' ? 'Wrong tg URL' : 'Wrong ton URL' };
  }
  if (!(special === 'tonsite' ? /^[A-Za-z0-9._-]*$/ : /^[A-Za-z0-9_-]*$/).test(url.host)) {
    return { fault: 'Unallowed characters in URL host' };
  }
  const query = url.query.startsWith('/?') ? url.query.slice(1) : url.query;
  return { url: `${special}://${url.host}${query}` };
}

/** tdlib's sentence about a link that it does not take. Never throws. */
export function linkFault(link: string, fault: string): string {
  return `URL '${link}' is invalid: ${fault}`;
}

/** The user that a link `tg://user?id=…` names; undefined for any other link. Never throws. */
export function userOfLink(link: string): number | undefined {
  const parameters = /^tg:(?:\/\/)?user\/?\?([^#]*)/i.exec(link)?.[1];
  const id = parameters === undefined ? undefined : parameterOf(parameters.toLowerCase(), 'id');
  if (id === undefined || !/^[1-9]\d{0,12}$/.test(id)) return undefined;
  return Number(id) <= USER_ID_MAX ? Number(id) : undefined;
}

/** The custom emoji that a link `tg://emoji?id=…` names, or why it names none, in tdlib's words. Never throws. */
export function emojiOfLink(link: string): { readonly id: string } | { readonly fault: string } {
  const lower = link.toLowerCase();
  if (!lower.startsWith('tg:')) return { fault: 'Custom emoji URL must have scheme tg' };
  const match = /^tg:(?:\/\/)?emoji(?![^/?#])\/?(?:\?([^#]*))?/.exec(lower);
  if (match === null) return { fault: 'Custom emoji URL must have host "emoji"' };
  const parameters = match[1];
  const id = parameters === undefined ? undefined : parameterOf(parameters, 'id');
  if (id === undefined) return { fault: 'Custom emoji URL must have an emoji identifier' };
  return isEmojiId(id) ? { id } : { fault: INVALID_EMOJI_ID };
}

/** tdlib's words about an identifier that is none. */
export const INVALID_EMOJI_ID = 'Invalid custom emoji identifier specified';

/** Whether a text is the identifier of a custom emoji: an int64 but 0, as a program writes it. Never throws. */
export function isEmojiId(text: string): boolean {
  if (!/^-?[1-9]\d{0,18}$/.test(text)) return false;
  const id = BigInt(text);
  return id <= INT64_MAX && id >= -INT64_MAX - 1n;
}

function parameterOf(parameters: string, name: string): string | undefined {
  for (const parameter of parameters.split('&')) {
    const sign = parameter.indexOf('=');
    if ((sign < 0 ? parameter : parameter.slice(0, sign)) === name) return sign < 0 ? '' : parameter.slice(sign + 1);
  }
  return undefined;
}

function parseHttpUrl(link: string): HttpUrl | string {
  const [, scheme] = /^([^:/?#@[\]]*):\/\//.exec(link) ?? [];
  const protocol = scheme === undefined ? 'http' : scheme.toLowerCase();
  if (protocol !== 'http' && protocol !== 'https') return 'Unsupported URL protocol';
  const rest = scheme === undefined ? link : link.slice(scheme.length + 3);
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? '';
  const [, before = authority, portText] = /^(.+):([^:\]@]*)$/s.exec(authority) ?? [];
  const port = portText === undefined ? 0 : Number(/^0*(\d+)$/.exec(portText)?.[1] ?? 0);
  if (portText !== undefined && (port === 0 || port > 65_535)) return 'Wrong port number specified in the URL';
  const at = before.lastIndexOf('@');
  const userInfo = at < 0 ? '' : before.slice(0, at);
  const host = before.slice(at + 1).replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
  const isIpv6 = host.startsWith('[') && host.endsWith(']');
  if (isIpv6 && !isIPv6(host.slice(1, -1))) return 'Wrong IPv6 address specified in the URL';
  if (host === '') return 'URL host is empty';
  if (host === '.') return 'Host is invalid';
  const fault = isIpv6
    ? undefined
    : (signsFault(host, 'host', HOST_SIGNS) ?? signsFault(userInfo, 'userinfo', USER_SIGNS));
  if (fault !== undefined) return fault;
  const query = rest.slice(authority.length).replace(/[ \t\r\n\v\0]+$/, '');
  return { protocol, userInfo, host, isIpv6, port, query: percentSpaces(query.startsWith('/') ? query : `/${query}`) };
}

function signsFault(part: string, name: string, allowed: RegExp): string | undefined {
  if (allowed.test(part)) return undefined;
  return BROKEN_PERCENT.test(part)
    ? `Wrong percent-encoded symbol in URL ${name}`
    : `Disallowed character in URL ${name}`;
}

function percentSpaces(query: string): string {
  return query.replace(/[\0- ]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
