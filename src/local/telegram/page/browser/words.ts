import type { WireChat, WireMessage, WireUser } from './wire.js';

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const TIME_EXACT = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const DAY_MS = 86_400_000;

/** Hours and minutes of a time in seconds. */
export const timeOf = (seconds: number): string => TIME.format(seconds * 1000);

/** Hours, minutes and seconds of a time in ms. */
export const exactTimeOf = (ms: number): string => TIME_EXACT.format(ms);

/** A day as a key: the same for two times of one day. */
export const dayKey = (seconds: number): string => new Date(seconds * 1000).toDateString();

/** A day in words: today, yesterday, or its date. */
export function dayWords(seconds: number): string {
  const now = Date.now();
  const date = new Date(seconds * 1000);
  if (date.toDateString() === new Date(now).toDateString()) return 'Today';
  if (date.toDateString() === new Date(now - DAY_MS).toDateString()) return 'Yesterday';
  return (date.getFullYear() === new Date(now).getFullYear() ? DAY : DAY_OF_YEAR).format(date);
}

/** When a chat was last written to, as short as a list wants it. */
export function whenWords(seconds: number): string {
  const date = new Date(seconds * 1000);
  if (date.toDateString() === new Date().toDateString()) return timeOf(seconds);
  return Date.now() - date.getTime() < 6 * DAY_MS ? WEEKDAY.format(date) : DAY.format(date);
}

/** The first words of a message, for lists. */
export function previewOf(message: WireMessage): string {
  const { text, caption, service, photo, document: file } = message;
  if (service !== undefined) return serviceWords(message);
  const kind = photo === undefined ? (file?.file_name ?? (file && 'File')) : 'Photo';
  return (text ?? [kind, caption].filter(Boolean).join(', ')).replace(/\s+/g, ' ').slice(0, 120);
}

/** What a person or a bot is called; a channel that posts has a title instead of a name. */
export function nameOf(user: WireUser): string {
  return user.first_name ?? user.title ?? String(user.id);
}

/** What happened, of a message that nobody wrote. */
export function serviceWords({ from, service = {} }: WireMessage): string {
  const who = nameOf(from);
  const { joined, left, pinned, upgraded } = service;
  if (joined !== undefined) {
    const others = joined.filter(({ id }) => id !== from.id);
    return others.length === 0 ? `${who} joined` : `${who} added ${others.map(nameOf).join(', ')}`;
  }
  if (left !== undefined) return left.id === from.id ? `${who} left` : `${who} removed ${nameOf(left)}`;
  if (pinned !== undefined) return `${who} pinned a message`;
  return upgraded === true ? 'The group became a supergroup' : 'Something happened here';
}

/** A standing in a chat, in words. */
export function standingWords(status: string | undefined): string {
  return status === 'creator' ? 'owner' : (status ?? '');
}

/** What a chat is, in words for its header. */
export function typeWords(info: WireChat): string {
  if (info.type === 'private') return info.blocked ? 'you block this bot' : 'bot';
  const noun = info.type === 'channel' ? 'subscriber' : 'member';
  const role = info.status === 'member' ? '' : `, you are ${standingWords(info.status)}`;
  return `${info.type}, ${counted(info.members ?? 0, noun)}${role}`;
}

/** Up to two letters that stand for a name. */
export function initialsOf(name: string): string {
  const letters = name
    .split(/\s+/)
    .map((word) => [...word].find((letter) => /[\p{L}\p{N}]/u.test(letter)))
    .filter((letter) => letter !== undefined);
  return letters.slice(0, 2).join('').toUpperCase();
}

/** A number with its noun, in the singular where that is right. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

/** A size in bytes, in the unit that suits it. */
export function sizeWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const [unit, power] = bytes < 1e6 ? (['kB', 1e3] as const) : (['MB', 1e6] as const);
  return `${(bytes / power).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${unit}`;
}
