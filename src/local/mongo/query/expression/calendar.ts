import { located } from './operator.js';
import { instantOf, type TimeZone } from './time-zone.js';

/** One day in ms. */
export const DAY_MS = 86_400_000;

/** What a calendar and a clock show. */
export interface DateParts {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
  /** 0 for Sunday to 6. */
  readonly weekday: number;
  /** 1 to 366. */
  readonly dayOfYear: number;
  /** What the clock shows, in ms since 1970 on that clock. */
  readonly local: number;
}

/** The ms since 1970 of a date in the Gregorian calendar; months and days beyond their range carry over. Never throws. */
export function civil(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getTime();
}

/** What the clocks of a zone show at an instant. Never throws. */
export function partsAt(ms: number, zone: TimeZone): DateParts {
  const local = ms + zone.offsetAt(ms);
  const date = new Date(local);
  const year = date.getUTCFullYear();
  return {
    year,
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    millisecond: date.getUTCMilliseconds(),
    weekday: date.getUTCDay(),
    dayOfYear: Math.floor((local - civil(year, 1, 1)) / DAY_MS) + 1,
    local,
  };
}

/** The week of the year from 0 to 53: weeks begin on Sundays, and week 1 with the first of them. Never throws. */
export function sundayWeek({ dayOfYear, weekday }: DateParts): number {
  return Math.floor((dayOfYear + 6 - weekday) / 7);
}

/** The day of ISO 8601's week, 1 for Monday to 7. Never throws. */
export function isoWeekday({ weekday }: DateParts): number {
  return weekday === 0 ? 7 : weekday;
}

/** The year and week of ISO 8601: week 1 holds the year's first Thursday. Never throws. */
export function isoWeek(parts: DateParts): { readonly year: number; readonly week: number } {
  const thursday = Math.floor(parts.local / DAY_MS) * DAY_MS + (4 - isoWeekday(parts)) * DAY_MS;
  const year = new Date(thursday).getUTCFullYear();
  return { year, week: Math.floor((thursday - civil(year, 1, 1)) / (7 * DAY_MS)) + 1 };
}

/** The units of time that operators count in. */
export const TIME_UNITS = [
  'year',
  'quarter',
  'month',
  'week',
  'day',
  'hour',
  'minute',
  'second',
  'millisecond',
] as const;
/** One of these units. */
export type TimeUnit = (typeof TIME_UNITS)[number];

const CLOCK_MS: Readonly<Record<string, number>> = { hour: 3_600_000, minute: 60_000, second: 1000, millisecond: 1 };
const MONTHS: Readonly<Record<string, number>> = { year: 12, quarter: 3, month: 1 };
const DAYS: Readonly<Record<string, number>> = { week: 7, day: 1 };

/** An instant and so many units more. Years, quarters, months, weeks and days are those of the zone's calendar, at the same time of day; a day that a
 * month does not have becomes its last. Never throws: the result may be no date (NaN). */
export function addUnits(ms: number, unit: TimeUnit, amount: number, zone: TimeZone): number {
  const clock = CLOCK_MS[unit];
  if (clock !== undefined) return ms + amount * clock;
  const parts = partsAt(ms, zone);
  const time = parts.local - Math.floor(parts.local / DAY_MS) * DAY_MS;
  const days = DAYS[unit];
  if (days !== undefined) return instantOf(parts.local + amount * days * DAY_MS, zone);
  const months = parts.year * 12 + parts.month - 1 + amount * (MONTHS[unit] as number);
  const year = Math.floor(months / 12);
  const month = months - year * 12 + 1;
  const last = new Date(civil(year, month + 1, 0)).getUTCDate();
  return instantOf(civil(year, month, Math.min(parts.day, last)) + time, zone);
}

function weekNumber({ local }: DateParts, startOfWeek: number): number {
  // Day 0 was a Thursday.
  return Math.floor((Math.floor(local / DAY_MS) + 4 - startOfWeek) / 7);
}

/** How many boundaries of a unit lie between two instants. `startOfWeek`: 0 for Sunday to 6. Never throws. */
export function boundariesBetween(
  start: number,
  end: number,
  unit: TimeUnit,
  zone: TimeZone,
  startOfWeek: number,
): number {
  const a = partsAt(start, zone);
  const b = partsAt(end, zone);
  switch (unit) {
    case 'year':
      return b.year - a.year;
    case 'quarter':
      return (b.year - a.year) * 4 + Math.floor((b.month - 1) / 3) - Math.floor((a.month - 1) / 3);
    case 'month':
      return (b.year - a.year) * 12 + b.month - a.month;
    case 'week':
      return weekNumber(b, startOfWeek) - weekNumber(a, startOfWeek);
    case 'day':
      return Math.floor(b.local / DAY_MS) - Math.floor(a.local / DAY_MS);
    default: {
      // Boundaries that the clock shows, without those that it was put over.
      const size = CLOCK_MS[unit] as number;
      const jumped = Math.trunc((b.local - end - (a.local - start)) / size);
      return Math.floor(b.local / size) - Math.floor(a.local / size) - jumped;
    }
  }
}

function floorTo(value: number, size: number): number {
  return Math.floor(value / size) * size;
}

/** The beginning of the bin of `size` units that an instant lies in; one bin begins with the year 2000 on the zone's clocks (a week's with the first such day
 * from then on). Throws Overflow's 5439001 on a bin that is too large. */
export function truncateTo(ms: number, unit: TimeUnit, size: number, zone: TimeZone, startOfWeek: number): number {
  const start = civil(2000, 1, 1);
  const clock = CLOCK_MS[unit];
  if (clock !== undefined) {
    const bin = size * clock;
    if (!Number.isSafeInteger(bin)) throw located(5439002, 'dateTrunc overflowed');
    const reference = instantOf(start, zone);
    return reference + floorTo(ms - reference, bin);
  }
  const parts = partsAt(ms, zone);
  const days = DAYS[unit];
  if (days !== undefined) {
    // 1 January 2000 was a Saturday.
    const first = Math.floor(start / DAY_MS) + (unit === 'week' ? (startOfWeek + 1) % 7 : 0);
    const day = Math.floor(parts.local / DAY_MS);
    return instantOf((first + floorTo(day - first, size * days)) * DAY_MS, zone);
  }
  const months = floorTo((parts.year - 2000) * 12 + parts.month - 1, size * (MONTHS[unit] as number));
  return instantOf(civil(2000, 1 + months, 1), zone);
}
