import { exactOf, isNumber, toDouble } from '../../bson/numbers.js';
import { elements, fields, type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { date, int32, int64, NULL, string } from '../../bson/values.js';
import { documentOf } from '../../bson/writer.js';
import { failedToParse, notImplemented, StoreError } from '../../errors.js';
import { typeName } from '../type-names.js';
import {
  addUnits,
  boundariesBetween,
  civil,
  DAY_MS,
  type DateParts,
  isoWeek,
  isoWeekday,
  partsAt,
  sundayWeek,
  TIME_UNITS,
  type TimeUnit,
  truncateTo,
} from './calendar.js';
import { formatDate, parseDate } from './date-texts.js';
import {
  type Compiler,
  type Expression,
  isNullish,
  located,
  type NamedShape,
  namedArguments,
  type Operator,
  type Operators,
} from './operator.js';
import { instantOf, type TimeZone, timeZone } from './time-zone.js';

const MAX_MS = 8.64e15; // what JavaScript's dates reach; MongoDB's reach further

function inRange(ms: bigint | number): number {
  const number = Number(ms);
  if (!(Math.abs(number) <= MAX_MS)) throw notImplemented('dates more than 275,000 years away');
  return number;
}

/** The instant that a date, a timestamp or an ObjectId stands for, in ms since 1970; undefined for other types. Throws NotImplemented beyond JavaScript's dates. */
export function instant(value: RawValue): number | undefined {
  if (value.type === Type.date) return inRange(value.bytes.readBigInt64LE(value.start));
  if (value.type === Type.timestamp) return value.bytes.readUInt32LE(value.start + 4) * 1000;
  if (value.type === Type.objectId) return value.bytes.readUInt32BE(value.start) * 1000;
  return undefined;
}

function coerceDate(value: RawValue): number {
  const ms = instant(value);
  if (ms === undefined) throw located(16006, `can't convert from BSON type ${typeName(value)} to Date`);
  return ms;
}

/** A date of a computed instant. Throws Overflow (15) on what is none. */
function dateAt(ms: number): RawValue {
  if (!(Math.abs(ms) <= MAX_MS)) throw new StoreError(15, 'Overflow', 'date overflow');
  return date(ms);
}

/** The zone of an argument; undefined for null. Throws 40517 when it is no text. */
function zoneOf(expression: Expression | undefined, document: RawValue): TimeZone | undefined {
  if (expression === undefined) return UTC;
  const id = expression(document);
  if (isNullish(id)) return undefined;
  if (id.type !== Type.string) throw located(40517, `timezone must evaluate to a string, found ${typeName(id)}`);
  return timeZone(textOf(id));
}

const UTC = timeZone('UTC');

/** Compiles the named arguments that are there. */
function compileNamed(
  operand: RawValue,
  name: string,
  shape: NamedShape,
  compiler: Compiler,
): ReadonlyMap<string, Expression> {
  const given = namedArguments(operand, name, shape);
  return new Map([...given].map(([key, source]) => [key, compiler.compile(source)]));
}

function part(compute: (parts: DateParts) => RawValue): Operator {
  return (operand, compiler, name) => {
    let source = operand;
    let zone: Expression | undefined;
    if (operand.type === Type.array) {
      const list = elements(operand);
      if (list.length !== 1)
        throw located(40536, `${name} accepts exactly one argument if given an array, but was given ${list.length}`);
      source = list[0] as RawValue;
    } else if (operand.type === Type.object && !fields(operand)[0]?.[0].startsWith('$')) {
      const given = namedArguments(operand, name, {
        required: ['date'],
        optional: ['timezone'],
        unknown: 40535,
        missing: 40539,
      });
      source = given.get('date') as RawValue;
      const id = given.get('timezone');
      zone = id === undefined ? undefined : compiler.compile(id);
    }
    const value = compiler.compile(source);
    return (document) => {
      const given = value(document);
      if (isNullish(given)) return NULL;
      const ms = coerceDate(given);
      const where = zoneOf(zone, document);
      return where === undefined ? NULL : compute(partsAt(ms, where));
    };
  };
}

const DEFAULT_FORMAT = '%Y-%m-%dT%H:%M:%S.%L';

const dateToString: Operator = (operand, compiler, name) => {
  const given = compileNamed(
    operand,
    name,
    {
      required: ['date'],
      optional: ['format', 'timezone', 'onNull'],
      noDocument: 18629,
      unknown: 18534,
      missing: 18628,
    },
    compiler,
  );
  return (document) => {
    const value = given.get('date')?.(document);
    const format = given.get('format')?.(document);
    if (!isNullish(format) && format.type !== Type.string)
      throw located(18533, `$dateToString requires that 'format' be a string, found: ${typeName(format)}`);
    const zone = zoneOf(given.get('timezone'), document);
    if (isNullish(value)) return given.has('onNull') ? given.get('onNull')?.(document) : NULL;
    if (zone === undefined || (given.has('format') && isNullish(format))) return NULL;
    const ms = coerceDate(value);
    const pattern = isNullish(format) ? `${DEFAULT_FORMAT}${zone.isUtc ? 'Z' : ''}` : textOf(format);
    return string(formatDate(pattern, partsAt(ms, zone), zone.offsetAt(ms)));
  };
};

const dateToParts: Operator = (operand, compiler, name) => {
  const given = compileNamed(
    operand,
    name,
    { required: ['date'], optional: ['timezone', 'iso8601'], noDocument: 40524, unknown: 40520, missing: 40522 },
    compiler,
  );
  return (document) => {
    const value = given.get('date')?.(document);
    const zone = zoneOf(given.get('timezone'), document);
    if (zone === undefined) return NULL;
    const flag = given.get('iso8601')?.(document);
    if (given.has('iso8601') && isNullish(flag)) return NULL;
    if (flag !== undefined && flag.type !== Type.bool)
      throw located(40521, `iso8601 must evaluate to a bool, found ${typeName(flag)}`);
    if (isNullish(value)) return NULL;
    const parts = partsAt(coerceDate(value), zone);
    const iso = flag !== undefined && flag.bytes[flag.start] === 1;
    const { year, week } = isoWeek(parts);
    const days: [string, number][] = iso
      ? [
          ['isoWeekYear', year],
          ['isoWeek', week],
          ['isoDayOfWeek', isoWeekday(parts)],
        ]
      : [
          ['year', parts.year],
          ['month', parts.month],
          ['day', parts.day],
        ];
    const clock = (['hour', 'minute', 'second', 'millisecond'] as const).map((key): [string, number] => [
      key,
      parts[key],
    ]);
    return documentOf([...days, ...clock].map(([key, number]) => [key, int32(number)]));
  };
};

/** A whole number of 64 bits, whatever its type; undefined when it is none. */
function wholeInt64(value: RawValue): bigint | undefined {
  const exact = isNumber(value.type) ? exactOf(value) : undefined;
  if (exact === undefined) return undefined;
  const whole =
    exact.exponent >= 0
      ? exact.coefficient * 10n ** BigInt(Math.min(exact.exponent, 40))
      : exact.coefficient / 10n ** BigInt(-exact.exponent);
  if (exact.exponent < 0 && whole * 10n ** BigInt(-exact.exponent) !== exact.coefficient) return undefined;
  return BigInt.asIntN(64, whole) === whole ? whole : undefined;
}

const SMALL = new Set(['month', 'day', 'hour', 'minute', 'isoWeek', 'isoDayOfWeek']);

const dateFromParts: Operator = (operand, compiler, name) => {
  const clock = ['hour', 'minute', 'second', 'millisecond'];
  const given = compileNamed(
    operand,
    name,
    {
      required: [],
      optional: ['year', 'month', 'day', 'isoWeekYear', 'isoWeek', 'isoDayOfWeek', 'timezone', ...clock],
      noDocument: 40519,
      unknown: 40518,
    },
    compiler,
  );
  const iso = given.has('isoWeekYear');
  if (!iso && !given.has('year'))
    throw located(40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present");
  if (iso ? ['year', 'month', 'day'].some((key) => given.has(key)) : given.has('isoWeek') || given.has('isoDayOfWeek'))
    throw located(40489, '$dateFromParts does not allow mixing natural dates with ISO dates');
  const number = (key: string, otherwise: number, document: RawValue): number | undefined => {
    const expression = given.get(key);
    if (expression === undefined) return otherwise;
    const value = expression(document);
    if (isNullish(value)) return undefined;
    const found = wholeInt64(value);
    if (found === undefined) throw located(40515, `'${key}' must evaluate to an integer, found ${typeName(value)}`);
    if (SMALL.has(key) && (found < -32768n || found > 32767n))
      throw located(
        31034,
        `'${key}' must evaluate to a value in the range [-32768, 32767]; value ${found} is not in range`,
      );
    return Number(found);
  };
  return (document) => {
    const times = clock.map((key) => number(key, 0, document));
    if (times.includes(undefined)) return NULL;
    const [hour, minute, second, ms] = times as [number, number, number, number];
    const zone = zoneOf(given.get('timezone'), document);
    if (zone === undefined) return NULL;
    const [a, b, c] = iso ? ['isoWeekYear', 'isoWeek', 'isoDayOfWeek'] : ['year', 'month', 'day'];
    const year = number(a as string, 1970, document);
    const middle = number(b as string, 1, document);
    const last = number(c as string, 1, document);
    if (year === undefined || middle === undefined || last === undefined) return NULL;
    if (year < 1 || year > 9999)
      throw located(iso ? 31095 : 40523, `'${a}' must evaluate to an integer in the range 1 to 9999, found ${year}`);
    const time = hour * 3_600_000 + minute * 60_000 + second * 1000 + ms;
    let day: number;
    if (iso) {
      // 4 January is always in week 1.
      const fourth = civil(year, 1, 4);
      const weekday = new Date(fourth).getUTCDay() || 7;
      day = fourth + ((middle - 1) * 7 + last - weekday) * DAY_MS;
    } else day = civil(year, middle, last);
    return dateAt(instantOf(day + time, zone));
  };
};

const dateFromString: Operator = (operand, compiler, name) => {
  const given = compileNamed(
    operand,
    name,
    {
      required: ['dateString'],
      optional: ['format', 'timezone', 'onNull', 'onError'],
      noDocument: 40540,
      unknown: 40541,
      missing: 40542,
    },
    compiler,
  );
  if (given.has('format')) throw notImplemented("the 'format' of $dateFromString");
  return (document) => {
    const text = given.get('dateString')?.(document);
    const zone = zoneOf(given.get('timezone'), document);
    if (isNullish(text)) return given.has('onNull') ? given.get('onNull')?.(document) : NULL;
    try {
      if (text.type !== Type.string) {
        throw new StoreError(
          241,
          'ConversionFailure',
          `$dateFromString requires that 'dateString' be a string, found: ${typeName(text)}`,
        );
      }
      return zone === undefined ? NULL : date(parseDate(textOf(text), zone));
    } catch (error) {
      if (error instanceof StoreError && error.code === 241 && given.has('onError'))
        return given.get('onError')?.(document);
      throw error;
    }
  };
};

function unitOf(value: RawValue, name: string): TimeUnit {
  if (value.type !== Type.string)
    throw located(5439013, `${name} requires 'unit' to be a string, but got ${typeName(value)}`);
  const unit = TIME_UNITS.find((one) => one === textOf(value));
  if (unit === undefined)
    throw failedToParse(`${name} parameter 'unit' value parsing failed: unknown time unit value: ${textOf(value)}`);
  return unit;
}

const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

function weekdayOf(value: RawValue, name: string): number {
  if (value.type !== Type.string)
    throw located(5439015, `${name} requires 'startOfWeek' to be a string, but got ${typeName(value)}`);
  const text = textOf(value).toLowerCase();
  const day = WEEKDAYS.findIndex((one) => one === text || one.slice(0, 3) === text);
  if (day < 0)
    throw located(5439016, `${name} parameter 'startOfWeek' value cannot be recognized as a day of a week: ${text}`);
  return day;
}

function shift(sign: 1 | -1): Operator {
  return (operand, compiler, name) => {
    const given = compileNamed(
      operand,
      name,
      {
        required: ['startDate', 'unit', 'amount'],
        optional: ['timezone'],
        noDocument: 5166400,
        unknown: 5166401,
        missing: 5166402,
      },
      compiler,
    );
    return (document) => {
      const start = given.get('startDate')?.(document);
      if (isNullish(start)) return NULL;
      const unitValue = given.get('unit')?.(document);
      if (isNullish(unitValue)) return NULL;
      const unit = unitOf(unitValue, name);
      const amount = given.get('amount')?.(document);
      if (isNullish(amount)) return NULL;
      const zone = zoneOf(given.get('timezone'), document);
      if (zone === undefined) return NULL;
      const ms = instant(start);
      if (ms === undefined) throw located(5166403, `${name} requires startDate to be convertible to a date`);
      const whole = wholeInt64(amount);
      if (whole === undefined) throw located(5166405, `${name} expects integer amount of time units`);
      if (Math.abs(Number(whole)) > MAX_MS)
        throw located(5976500, `invalid ${name} 'amount' parameter value: ${whole}`);
      return dateAt(addUnits(ms, unit, sign * Number(whole), zone));
    };
  };
}

/** The zone, unit and first day of the week that $dateDiff and $dateTrunc share; undefined when one of them is null. */
function binning(
  given: ReadonlyMap<string, Expression>,
  document: RawValue,
  name: string,
): { unit: TimeUnit; startOfWeek: number; zone: TimeZone } | undefined {
  const unitValue = given.get('unit')?.(document);
  if (isNullish(unitValue)) return undefined;
  const unit = unitOf(unitValue, name);
  let startOfWeek = 0;
  if (unit === 'week' && given.has('startOfWeek')) {
    const value = given.get('startOfWeek')?.(document);
    if (isNullish(value)) return undefined;
    startOfWeek = weekdayOf(value, name);
  }
  const zone = zoneOf(given.get('timezone'), document);
  return zone === undefined ? undefined : { unit, startOfWeek, zone };
}

function argumentDate(value: RawValue, name: string, what: string): number {
  const ms = instant(value);
  if (ms === undefined) throw located(5166307, `${name} requires '${what}' to be a date, but got ${typeName(value)}`);
  return ms;
}

const dateDiff: Operator = (operand, compiler, name) => {
  const given = compileNamed(
    operand,
    name,
    {
      required: ['startDate', 'endDate', 'unit'],
      optional: ['timezone', 'startOfWeek'],
      noDocument: 5166301,
      unknown: 5166302,
      missing: 5166303,
    },
    compiler,
  );
  return (document) => {
    const start = given.get('startDate')?.(document);
    if (isNullish(start)) return NULL;
    const end = given.get('endDate')?.(document);
    if (isNullish(end)) return NULL;
    const how = binning(given, document, name);
    if (how === undefined) return NULL;
    const [a, b] = [argumentDate(start, name, 'startDate'), argumentDate(end, name, 'endDate')];
    return int64(BigInt(boundariesBetween(a, b, how.unit, how.zone, how.startOfWeek)));
  };
};

const dateTrunc: Operator = (operand, compiler, name) => {
  const given = compileNamed(
    operand,
    name,
    {
      required: ['date', 'unit'],
      optional: ['binSize', 'timezone', 'startOfWeek'],
      noDocument: 5439007,
      unknown: 5439008,
      missing: 5439009,
    },
    compiler,
  );
  return (document) => {
    const value = given.get('date')?.(document);
    if (isNullish(value)) return NULL;
    let size = 1;
    if (given.has('binSize')) {
      const wanted = given.get('binSize')?.(document);
      if (isNullish(wanted)) return NULL;
      if (wholeInt64(wanted) === undefined)
        throw located(5439017, `$dateTrunc requires 'binSize' to be a 64-bit integer, but got ${typeName(wanted)}`);
      size = toDouble(wanted);
      if (size <= 0)
        throw located(5439018, `$dateTrunc requires 'binSize' to be greater than 0, but got value ${size}`);
      if (size > 1e11) throw notImplemented("a 'binSize' above 100,000,000,000 of $dateTrunc");
    }
    const how = binning(given, document, name);
    if (how === undefined) return NULL;
    return dateAt(truncateTo(argumentDate(value, name, 'date'), how.unit, size, how.zone, how.startOfWeek));
  };
};

/** Date operators, in UTC, with fixed offsets or in the zones of the Olson database. */
export const DATES: Operators = {
  $year: part(({ year }) => int32(year)),
  $month: part(({ month }) => int32(month)),
  $dayOfMonth: part(({ day }) => int32(day)),
  $dayOfWeek: part(({ weekday }) => int32(weekday + 1)),
  $dayOfYear: part(({ dayOfYear }) => int32(dayOfYear)),
  $hour: part(({ hour }) => int32(hour)),
  $minute: part(({ minute }) => int32(minute)),
  $second: part(({ second }) => int32(second)),
  $millisecond: part(({ millisecond }) => int32(millisecond)),
  $week: part((parts) => int32(sundayWeek(parts))),
  $isoWeek: part((parts) => int32(isoWeek(parts).week)),
  $isoWeekYear: part((parts) => int64(BigInt(isoWeek(parts).year))),
  $isoDayOfWeek: part((parts) => int32(isoWeekday(parts))),
  $dateToString: dateToString,
  $dateToParts: dateToParts,
  $dateFromParts: dateFromParts,
  $dateFromString: dateFromString,
  $dateAdd: shift(1),
  $dateSubtract: shift(-1),
  $dateDiff: dateDiff,
  $dateTrunc: dateTrunc,
};
