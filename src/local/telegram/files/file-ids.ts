import { createHash } from 'node:crypto';
import type { Bot } from '../world/bot.js';
import { type FileKind, type Media, UNIQUE_BYTES } from './stored-file.js';

const PREFIXES: Readonly<Record<FileKind, readonly number[]>> = { photo: [2, 0, 2], document: [5, 0, 2] };
const PREFIX_BYTES = 3;
const SEAL_BYTES = 15;
const BYTES = PREFIX_BYTES + UNIQUE_BYTES + SEAL_BYTES;

/** What a `file_id` names. */
export interface FileIdParts {
  readonly kind: FileKind;
  readonly unique: string;
}

/** The Bot API's `file_id` of a file for one bot, always the same; for nobody (undefined) it is one that no bot can use. Never throws. */
export function fileIdOf(bot: Bot | undefined, { kind, unique }: FileIdParts | Media): string {
  const body = Buffer.concat([Buffer.from(PREFIXES[kind]), Buffer.from(unique, 'base64url')]);
  return Buffer.concat([body, sealOf(bot, body)]).toString('base64url');
}

/** Reads a `file_id` that was made for this bot: undefined for another bot's; why it is no `file_id` at all, in tdlib's words. Never throws. */
export function readFileId(bot: Bot, id: string): FileIdParts | undefined | string {
  if (!/^[\w-]*$/.test(id)) return 'Wrong character in the string';
  if (id.length % 4 === 1) return 'Wrong string length';
  const bytes = Buffer.from(id, 'base64url');
  const kind = (Object.keys(PREFIXES) as FileKind[]).find((name) =>
    bytes.subarray(0, PREFIX_BYTES).equals(Buffer.from(PREFIXES[name])),
  );
  if (kind === undefined || bytes.length !== BYTES) return "can't unserialize it";
  const body = bytes.subarray(0, BYTES - SEAL_BYTES);
  if (!sealOf(bot, body).equals(bytes.subarray(BYTES - SEAL_BYTES))) return undefined;
  return { kind, unique: body.toString('base64url', PREFIX_BYTES) };
}

/** What ties an id to a bot: nobody else can make it without the bot's token. */
function sealOf(bot: Bot | undefined, body: Buffer): Buffer {
  return createHash('sha256')
    .update(bot?.making.token ?? '')
    .update('\0')
    .update(body)
    .digest()
    .subarray(0, SEAL_BYTES);
}
