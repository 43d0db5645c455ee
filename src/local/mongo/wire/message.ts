import { field, fields, type RawValue, rawDocument, Type, validateDocument } from '../bson/raw-value.js';
import { failedToParse, invalidBson, StoreError } from '../errors.js';
import { crc32c } from './checksum.js';

/** MongoDB's largest message, in bytes. */
export const MAX_MESSAGE_BYTES = 48_000_000;

/** Opcodes of MongoDB's wire protocol that are spoken here. */
export const Opcode = { reply: 1, query: 2004, message: 2013 } as const;

/** One command as it came. */
export interface Command {
  readonly name: string;
  readonly database: string;
  readonly body: RawValue;
  /** The body's fields by name. */
  readonly fields: ReadonlyMap<string, RawValue>;
  /** Documents of kind-1 sections, by their identifier. */
  readonly sequences: ReadonlyMap<string, readonly RawValue[]>;
}

/** A message that was read: a command and how to answer it. */
export interface Request {
  readonly requestId: number;
  readonly legacy: boolean;
  /** The client waits for no answer. */
  readonly silent: boolean;
  readonly command: Command;
}

/** What MongoDB still answers by the opcode that drivers begin with. */
const LEGACY_COMMANDS = ['hello', 'isMaster', 'ismaster', 'buildInfo', 'buildinfo'];

const CHECKSUM_PRESENT = 1;
const MORE_TO_COME = 2;

function commandOf(body: RawValue, database: string | undefined, sequences: Command['sequences']): Command {
  const list = fields(body);
  const [first] = list;
  if (first === undefined) throw failedToParse('a command without a name');
  const named = field(body, '$db');
  const from =
    database ?? (named?.type === Type.string ? named.bytes.toString('utf8', named.start + 4, named.end - 1) : '');
  return { name: first[0], database: from, body, fields: new Map(list), sequences };
}

function parseMessage(bytes: Buffer): Request {
  const requestId = bytes.readInt32LE(4);
  const flags = bytes.readUInt32LE(16);
  // Flags below bit 16 must be known; above it, such as exhaustAllowed, they are offers that may be left alone.
  if ((flags & 0xffff & ~(CHECKSUM_PRESENT | MORE_TO_COME)) !== 0) {
    throw invalidBson(`unknown required flags ${flags}`);
  }
  const summed = (flags & CHECKSUM_PRESENT) !== 0;
  const end = summed ? bytes.length - 4 : bytes.length;
  if (summed && (end < 20 || bytes.readUInt32LE(end) !== crc32c(bytes, end))) throw invalidBson('a wrong checksum');
  let at = 20;
  let body: RawValue | undefined;
  const sequences = new Map<string, RawValue[]>();
  while (at < end) {
    const kind = bytes[at++];
    if (kind === 0) {
      if (body !== undefined) throw invalidBson('two bodies in a message');
      const stop = validateDocument(bytes, at, end);
      body = rawDocument(bytes, at);
      at = stop;
    } else if (kind === 1) {
      if (at + 4 > end) throw invalidBson('a section runs past its message');
      const stop = at + bytes.readInt32LE(at);
      const nameEnd = bytes.indexOf(0, at + 4);
      if (stop > end || nameEnd < 0 || nameEnd >= stop) throw invalidBson('a section runs past its message');
      const documents: RawValue[] = [];
      let position = nameEnd + 1;
      while (position < stop) {
        const next = validateDocument(bytes, position, stop);
        documents.push(rawDocument(bytes, position));
        position = next;
      }
      const name = bytes.toString('utf8', at + 4, nameEnd);
      if (sequences.has(name)) throw invalidBson(`two sections named ${name}`);
      sequences.set(name, documents);
      at = stop;
    } else throw invalidBson(`unknown kind of section ${String(kind)}`);
  }
  if (body === undefined) throw invalidBson('a message without a body');
  return {
    requestId,
    legacy: false,
    silent: (flags & MORE_TO_COME) !== 0,
    command: commandOf(body, undefined, sequences),
  };
}

function parseQuery(bytes: Buffer): Request {
  const nameEnd = bytes.indexOf(0, 20);
  if (nameEnd < 0 || nameEnd + 9 > bytes.length) throw invalidBson('a query that ends too early');
  const namespace = bytes.toString('utf8', 20, nameEnd);
  if (!namespace.endsWith('.$cmd'))
    throw new StoreError(352, 'UnsupportedOpQueryCommand', 'OP_QUERY is read for hello only');
  validateDocument(bytes, nameEnd + 9, bytes.length);
  let body = rawDocument(bytes, nameEnd + 9);
  const inner = field(body, '$query');
  if (inner?.type === Type.object) body = inner;
  const command = commandOf(body, namespace.slice(0, -5), new Map());
  if (!LEGACY_COMMANDS.includes(command.name)) {
    throw new StoreError(352, 'UnsupportedOpQueryCommand', `Unsupported OP_QUERY command: ${command.name}`);
  }
  return { requestId: bytes.readInt32LE(4), legacy: true, silent: false, command };
}

/** Reads one whole message. Throws InvalidBSON on malformed bytes, 352 on an opcode or query that is not spoken. */
export function parseRequest(bytes: Buffer): Request {
  if (bytes.length < 21) throw invalidBson('a message that is too short');
  const opcode = bytes.readInt32LE(12);
  if (opcode === Opcode.message) return parseMessage(bytes);
  if (opcode === Opcode.query) return parseQuery(bytes);
  throw new StoreError(352, 'UnsupportedOpQueryCommand', `the embedded store does not read opcode ${opcode}`);
}

/** The head of an answer; the document's bytes follow it. Never throws. */
export function replyHead(requestId: number, legacy: boolean, documentBytes: number, replyId: number): Buffer {
  const head = Buffer.alloc(legacy ? 36 : 21);
  head.writeInt32LE(head.length + documentBytes, 0);
  head.writeInt32LE(replyId, 4);
  head.writeInt32LE(requestId, 8);
  head.writeInt32LE(legacy ? Opcode.reply : Opcode.message, 12);
  if (legacy) {
    head.writeInt32LE(8, 16); // await capable, as every server says
    head.writeInt32LE(1, 32);
  }
  return head;
}
