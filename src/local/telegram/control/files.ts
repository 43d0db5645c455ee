import { isObject } from '../bot-api/arguments.js';
import { readUpload, type Upload } from '../bot-api/file-argument.js';
import { BotRefusal } from '../bot-api/refusal.js';
import type { FileKind, Media } from '../files/stored-file.js';
import { FileAnswer } from '../http/file-answer.js';
import type { Exchange } from '../http/listener.js';
import type { World } from '../world/world.js';
import { strangeField } from './call.js';

/** Most bytes of a file that a request can bring in base64. */
const BYTES_MAX = 35 * 1024 * 1024;
/** Nothing that a file holds is run or shown as a page, and no other site's page gets it. */
const HEADERS =
  "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; sandbox\r\n" +
  'Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n';

/** Answers a GET of `/local/files/<file_unique_id>` with the file: a photo to be shown, a document to be kept. Returns false when there is no such file. Never throws. */
export function sendFile(world: World, unique: string, exchange: Exchange): boolean {
  const file = world.findFile(unique);
  const answer = file && FileAnswer.open(world.pathOfFile(file));
  if (file === undefined || answer === undefined) return false;
  if (file.kind === 'photo') exchange.answerFile(answer, file.mime, HEADERS);
  else
    exchange.answerFile(answer, 'application/octet-stream', `${HEADERS}Content-Disposition: ${disposition(file)}\r\n`);
  return true;
}

function disposition({ name = 'file' }: Media): string {
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  return `attachment; filename*=UTF-8''${encoded}`;
}

/** The field `photo` (`{"base64"}`) or `document` (`{"name","base64"}`) of a request, or the error's text. Never throws. */
export function readPersonsFile(kind: FileKind, value: unknown): (Upload & { readonly media: Media }) | string {
  const fields = kind === 'photo' ? ['base64'] : ['name', 'base64'];
  if (!isObject(value)) return `${kind}: expected an object with ${fields.join(' and ')}`;
  const strange = strangeField(value, fields);
  if (strange !== undefined) return `${kind}.${strange}`;
  const { base64, name = '' } = value;
  if (typeof name !== 'string') return `${kind}.name: expected a text`;
  if (typeof base64 !== 'string' || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    return `${kind}.base64: expected bytes in base64`;
  }
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length > BYTES_MAX) return `${kind}.base64: expected at most ${BYTES_MAX} bytes`;
  const read = readUpload(kind, { name, type: '', bytes });
  if (read instanceof BotRefusal) return `${kind}.base64: expected what Telegram takes: ${read.description}`;
  return read;
}
