import { located } from './operator.js';

/** A time zone: what its clocks show. */
export interface TimeZone {
  /** Milliseconds that its clocks are ahead of UTC at an instant (ms since 1970). */
  offsetAt(ms: number): number;
  readonly isUtc: boolean;
}

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
// Before 1973 clocks were changed at odd minutes and seconds.
const REGULAR_SINCE_MS = Date.UTC(1973, 0, 1);
const CACHED_OFFSETS = 4096;

function fixed(offset: number): TimeZone {
  return { offsetAt: () => offset, isUtc: offset === 0 };
}

const UTC = fixed(0);

function named(id: string): TimeZone {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: id,
      calendar: 'gregory',
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw located(40485, `unrecognized time zone identifier: "${id}"`);
  }
  const measure = (ms: number): number => {
    const parts: Record<string, string> = {};
    for (const { type, value } of format.formatToParts(ms)) parts[type] = value;
    const year = parts.era === 'BC' ? 1 - Number(parts.year) : Number(parts.year);
    const local = new Date(0);
    local.setUTCFullYear(year, Number(parts.month) - 1, Number(parts.day));
    local.setUTCHours(Number(parts.hour), Number(parts.minute), Number(parts.second));
    return local.getTime() - Math.floor(ms / 1000) * 1000;
  };
  const known = new Map<number, number>();
  return {
    isUtc: false,
    offsetAt(ms) {
      if (ms < REGULAR_SINCE_MS) return measure(ms);
      const quarter = Math.floor(ms / QUARTER_MS);
      let offset = known.get(quarter);
      if (offset === undefined) {
        if (known.size >= CACHED_OFFSETS) known.clear();
        offset = measure(quarter * QUARTER_MS);
        known.set(quarter, offset);
      }
      return offset;
    },
  };
}

const zones = new Map<string, TimeZone>();

/** A time zone by its name in the Olson database or its offset (`+hh`, `+hhmm`, `+hh:mm`). Throws 40485 on any other text. */
export function timeZone(id: string): TimeZone {
  if (id === 'UTC' || id === 'GMT') return UTC;
  const offset = /^([+-])(\d\d)(?::?(\d\d))?$/.exec(id);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3] ?? '0');
    return fixed((offset[1] === '-' ? -minutes : minutes) * MINUTE_MS || 0);
  }
  // Intl takes names in any case; the Olson database's own all begin with a capital.
  if (!/^[A-Z]/.test(id)) throw located(40485, `unrecognized time zone identifier: "${id}"`);
  let zone = zones.get(id);
  if (zone === undefined) {
    zone = named(id);
    zones.set(id, zone);
  }
  return zone;
}

const DAY_MS = 24 * 60 * MINUTE_MS;

/** The instant at which the clocks of a zone show a time (as ms since 1970 of that clock): the first of two, and where they were put forward over it, as
 * much later. */
export function instantOf(local: number, zone: TimeZone): number {
  const before = zone.offsetAt(local - DAY_MS);
  const after = zone.offsetAt(local + DAY_MS);
  if (before === after || zone.offsetAt(local - before) === before) return local - before;
  return zone.offsetAt(local - after) === after ? local - after : local - before;
}
