import { decimalText, isNumber, toDouble } from '../../bson/numbers.js';
import { type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { notImplemented } from '../../errors.js';
import { typeName } from '../type-names.js';
import { isNullish, located } from './operator.js';

/** A finite double as C's `%.16g` writes it, or with the shortest digits that read back as the same (`{}` of MongoDB's format library): an exponent below
 * 10^−4 and from 10^16 on. Never throws. */
export function doubleText(value: number, digits: 'shortest' | 16): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [mantissa, power] = (digits === 16 ? value.toExponential(15) : value.toExponential()).split('e') as [
    string,
    string,
  ];
  const sign = value < 0 ? '-' : '';
  const plain = mantissa.replace(/[-.]/g, '').replace(/0+$/, '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const tail = `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
    return `${sign}${plain[0]}${plain.length > 1 ? `.${plain.slice(1)}` : ''}e${tail}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${plain}`;
  const whole = plain.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = plain.slice(exponent + 1);
  return `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** A date as MongoDB turns it into a text, in UTC; milliseconds since 1970. Throws 18537 or NotImplemented outside of the years 0 to 9999. */
export function isoText(ms: number): string {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9999))
    throw located(
      18537,
      `Could not convert date to string: date component was outside the supported range of 0-9999: ${ms}`,
    );
  return date.toISOString();
}

/** The text of a number that is no double. */
function integerText(value: RawValue): string {
  if (value.type === Type.int32) return String(toDouble(value));
  return value.type === Type.int64 ? String(value.bytes.readBigInt64LE(value.start)) : decimalText(value);
}

/** A number's text; doubles with so many digits. Never throws on numbers. */
export function numberText(value: RawValue, digits: 'shortest' | 16): string {
  return value.type === Type.double ? doubleText(toDouble(value), digits) : integerText(value);
}

/** A value as the text that string operators take it for: null and missing are empty. Throws 16007 on what has no text, NotImplemented on timestamps. */
export function coerceText(value: RawValue | undefined, name: string): string {
  if (isNullish(value)) return '';
  if (value.type === Type.string || value.type === Type.symbol || value.type === Type.code) return textOf(value);
  if (isNumber(value.type)) return numberText(value, 16);
  if (value.type === Type.date) return isoText(Number(value.bytes.readBigInt64LE(value.start)));
  if (value.type === Type.timestamp) throw notImplemented(`the text of a timestamp in ${name}`);
  throw located(16007, `can't convert from BSON type ${typeName(value)} to String`);
}
