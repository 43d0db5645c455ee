import { notImplemented, StoreError } from '../../errors.js';
import { civil, type DateParts, isoWeek, isoWeekday, sundayWeek } from './calendar.js';
import { located } from './operator.js';
import { instantOf, type TimeZone } from './time-zone.js';

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

function year(value: number): string {
  if (value < 0 || value > 9999)
    throw located(
      18537,
      `Could not convert date to string: date component was outside the supported range of 0-9999: ${value}`,
    );
  return pad(value, 4);
}

function offsetText(offset: number): string {
  const minutes = Math.trunc(Math.abs(offset) / 60_000);
  return `${offset < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60), 2)}${pad(minutes % 60, 2)}`;
}

/** A date by a format of $dateToString; `offset`: ms ahead of UTC. Throws 18535, 18536 or 18537. */
export function formatDate(format: string, parts: DateParts, offset: number): string {
  return format.replace(/%([\s\S]?)/g, (_, letter: string) => {
    switch (letter) {
      case '%':
        return '%';
      case 'Y':
        return year(parts.year);
      case 'm':
        return pad(parts.month, 2);
      case 'd':
        return pad(parts.day, 2);
      case 'H':
        return pad(parts.hour, 2);
      case 'M':
        return pad(parts.minute, 2);
      case 'S':
        return pad(parts.second, 2);
      case 'L':
        return pad(parts.millisecond, 3);
      case 'j':
        return pad(parts.dayOfYear, 3);
      case 'w':
        return String(parts.weekday + 1);
      case 'u':
        return String(isoWeekday(parts));
      case 'U':
        return pad(sundayWeek(parts), 2);
      case 'V':
        return pad(isoWeek(parts).week, 2);
      case 'G':
        return year(isoWeek(parts).year);
      case 'b':
        return (MONTHS[parts.month - 1] as string).slice(0, 3);
      case 'B':
        return MONTHS[parts.month - 1] as string;
      case 'z':
        return offsetText(offset);
      case 'Z':
        return `${offset < 0 ? '-' : '+'}${Math.trunc(Math.abs(offset) / 60_000)}`;
      case '':
        throw located(18535, "Unmatched '%' at end of format string");
      default:
        throw located(18536, `Invalid format character '%${letter}' in format string`);
    }
  });
}

function conversionFailure(message: string): StoreError {
  return new StoreError(241, 'ConversionFailure', message);
}

const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)? ?(Z|[+-]\d{2}(?::?\d{2})?)?$/;

/** The instant (ms since 1970) that a text of ISO 8601 names; without an offset of its own it is read in `zone`. Throws ConversionFailure (241) on a date that does not
 * exist or a text without digits, NotImplemented on the other forms that MongoDB may know. */
export function parseDate(text: string, zone: TimeZone): number {
  const found = ISO.exec(text);
  if (found === null) {
    if (!/\d/.test(text)) throw conversionFailure(`Error parsing date string '${text}'`);
    throw notImplemented(`dates written in another way than ISO 8601's: '${text}'`);
  }
  const [, y, mo, d, h = '0', mi = '0', s = '0', fraction = '', offset] = found;
  const [month, day, hour, minute, second] = [mo, d, h, mi, s].map(Number) as [number, number, number, number, number];
  if ((hour === 24 && minute === 0 && second === 0) || second === 60)
    throw notImplemented(`the time of day in '${text}'`);
  const date = civil(Number(y), month, day);
  const back = new Date(date);
  if (back.getUTCMonth() + 1 !== month || back.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59)
    throw conversionFailure(`Error parsing date string '${text}'; the parsed date was invalid`);
  const local =
    date + hour * 3_600_000 + minute * 60_000 + second * 1000 + Math.trunc(Number(fraction.padEnd(3, '0').slice(0, 3)));
  if (offset === undefined) return instantOf(local, zone);
  if (!zone.isUtc)
    throw conversionFailure('you cannot pass in a date/time string with GMT offset together with a timezone argument');
  if (offset === 'Z') return local;
  const [, sign, hours, minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) as unknown as [
    string,
    string,
    string,
    string?,
  ];
  const ahead = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return local - (sign === '-' ? -ahead : ahead);
}
