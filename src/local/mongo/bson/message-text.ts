import { type Binary, type BSONRegExp, type Document, deserialize, EJSON, type Timestamp } from 'bson';
import { bytesOf, type RawValue } from './raw-value.js';

const UUID_SUBTYPE = 4;

/** A document as MongoDB writes it in its messages, which programs take apart (BSONObj::toString of its source): `{ email: "a@x", at: new Date(0) }`. Never throws on a validated one. */
export function messageText(document: RawValue): string {
  return textOfValue(deserialize(bytesOf(document), { promoteValues: false, bsonRegExp: true }));
}

function textOfValue(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Date) return `new Date(${value.getTime()})`;
  if (Array.isArray(value)) return list(value.map(textOfValue), '[', ']');
  const type = (value as Document)._bsontype;
  switch (type) {
    case undefined:
      return list(
        Object.entries(value).map(([name, inner]) => `${name}: ${textOfValue(inner)}`),
        '{',
        '}',
      );
    case 'Double':
      return String(value).replace(/^-?\d+$/, '$&.0');
    case 'Int32':
    case 'Long':
    case 'Decimal128':
      return String(value);
    case 'ObjectId':
      return `ObjectId('${value}')`;
    case 'Binary':
      return binaryText(value as Binary);
    case 'BSONRegExp':
      return `/${(value as BSONRegExp).pattern}/${(value as BSONRegExp).options}`;
    case 'Timestamp':
      return `Timestamp(${(value as Timestamp).t}, ${(value as Timestamp).i})`;
    case 'MinKey':
    case 'MaxKey':
      return type;
    default:
      return EJSON.stringify(value); // code, symbols and pointers, which nobody keeps in an index
  }
}

function list(parts: readonly string[], open: string, close: string): string {
  return parts.length === 0 ? open + close : `${open} ${parts.join(', ')} ${close}`;
}

function binaryText(value: Binary): string {
  if (value.sub_type === UUID_SUBTYPE && value.length() === 16) return `UUID("${value.toUUID()}")`;
  return `BinData(${value.sub_type}, ${value.toString('hex').toUpperCase()})`;
}
