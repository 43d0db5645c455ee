import type { WireMessage } from './wire.js';

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
export function previewOf({ text, caption }: WireMessage): string {
  return (text ?? caption ?? '').replace(/\s+/g, ' ').slice(0, 120);
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
