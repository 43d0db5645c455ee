import { readFileId } from '../files/file-ids.js';
import { readImageSize } from '../files/image-size.js';
import { documentOf, type FileKind, type Media, mediaOf, photoOf, type StoredFile } from '../files/stored-file.js';
import type { UploadedFile } from '../http/multipart.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, FILES, textArgument } from './arguments.js';
import { BotRefusal, badRequest, REFUSALS } from './refusal.js';

const ATTACHED = 'attach://';
const PHOTO_MAX_BYTES = 10 * 1024 * 1024;
/** Of width and height together, in pixels, and of the longer side to the shorter. */
const PHOTO_MAX_PIXELS = 10_000;
const PHOTO_MAX_RATIO = 20;
const TYPE_NAMES: Readonly<Record<FileKind, string>> = { photo: 'Photo', document: 'Document' };

/** A file that was brought along. */
export interface Upload {
  readonly file: StoredFile;
  readonly bytes: Buffer;
}

/** A file to be sent: what the message shows of it, and the upload to keep if it is none that is kept already. */
export interface FileToSend {
  readonly media: Media;
  readonly upload: Upload | undefined;
}

/** What an argument gives as a file: a file that came with the call (under the argument's name, or the one that `attach://` names), or an id or address; undefined for none. Never throws. */
export function fileArgument(args: BotArguments, name: string): UploadedFile | string | undefined {
  return namedFile(args, textArgument(args, name), name);
}

/** The same for a text that is not an argument itself but within one; `name` is that of the file without a text, '' for none. Never throws. */
export function namedFile(args: BotArguments, text: string, name: string): UploadedFile | string | undefined {
  const isAttached = text.startsWith(ATTACHED);
  if (text !== '' && !isAttached) return text;
  return args[FILES]?.get(isAttached ? text.slice(ATTACHED.length) : name);
}

/** Looks at a file that is to be sent as a photo or a document, as Telegram does: what it becomes, or why it can't be sent. Never throws. */
export function readFile(
  world: World,
  bot: Bot,
  kind: FileKind,
  given: UploadedFile | string,
): FileToSend | BotRefusal {
  if (typeof given === 'string') return keptFile(world, bot, kind, given);
  const read = readUpload(kind, given);
  return read instanceof BotRefusal ? read : { media: read.media, upload: read };
}

/** The same for a file that is brought along. Never throws. */
export function readUpload(kind: FileKind, given: UploadedFile): (Upload & { readonly media: Media }) | BotRefusal {
  const { bytes } = given;
  if (bytes.length === 0) return REFUSALS.fileEmpty;
  const file = kind === 'document' ? documentOf(given) : readPhoto(given);
  return file instanceof BotRefusal ? file : { media: mediaOf(file), file, bytes };
}

function readPhoto(given: UploadedFile): StoredFile | BotRefusal {
  const { length } = given.bytes;
  if (length > PHOTO_MAX_BYTES) {
    return badRequest(
      `File of size ${length} bytes is too big for a photo; the maximum size is ${PHOTO_MAX_BYTES} bytes`,
    );
  }
  const size = readImageSize(given.bytes);
  if (size === undefined) return REFUSALS.imageFailed;
  const { width, height } = size;
  const isOdd = Math.max(width, height) > PHOTO_MAX_RATIO * Math.min(width, height);
  return isOdd || width + height > PHOTO_MAX_PIXELS ? REFUSALS.photoDimensions : photoOf(given, size);
}

function keptFile(world: World, bot: Bot, kind: FileKind, id: string): FileToSend | BotRefusal {
  if (/\.|^https?:/i.test(id)) return REFUSALS.urlNotFetched;
  const parts = readFileId(bot, id);
  if (typeof parts === 'string') return badRequest(`Wrong remote file identifier specified: ${parts}`);
  const file = parts && world.findFile(parts.unique);
  if (file === undefined) return REFUSALS.wrongFile;
  if (file.kind !== kind) {
    return badRequest(`Can't use file of type ${TYPE_NAMES[file.kind]} as ${TYPE_NAMES[kind]}`);
  }
  return { media: mediaOf(file), upload: undefined };
}
