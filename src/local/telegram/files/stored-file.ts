import { createHash } from 'node:crypto';
import type { UploadedFile } from '../http/multipart.js';
import type { ImageSize } from './image-size.js';
import { mimeTypeOf } from './mime-types.js';

const UNIQUE_PREFIX = [1, 0, 3];
/** Bytes of a `file_unique_id`. */
export const UNIQUE_BYTES = 12;
const NAME_MAX = 255;

/** How a file was sent: Telegram tells files apart by that, even with the same bytes. */
export type FileKind = 'photo' | 'document';

/** What a message shows of its file. */
export interface Media {
  readonly kind: FileKind;
  /** The Bot API's `file_unique_id`, which follows from what the file is: the same file brought again has the same. */
  readonly unique: string;
  /** Bytes. */
  readonly size: number;
  /** Of a photo, in pixels. */
  readonly width?: number;
  readonly height?: number;
  /** Of a document; absent when it came without one. */
  readonly name?: string;
  readonly mime: string;
}

/** A file as the journal keeps it; its bytes lie under their hash, once for all files with the same. */
export interface StoredFile extends Media {
  /** SHA-256 in hex. */
  readonly hash: string;
}

/** The photo that an upload is. Never throws. */
export function photoOf({ bytes }: UploadedFile, { kind, width, height }: ImageSize): StoredFile {
  const hash = sha256(bytes);
  const mime = mimeTypeOf(`.${kind}`, '');
  return { kind: 'photo', unique: uniqueOf('photo', hash), size: bytes.length, width, height, mime, hash };
}

/** The document that an upload is; its type is told from its name, else it is what the sender says. Never throws. */
export function documentOf({ name, type, bytes }: UploadedFile): StoredFile {
  const hash = sha256(bytes);
  const clean = cleanName(name);
  const mime = mimeTypeOf(clean, type);
  return {
    kind: 'document',
    unique: uniqueOf('document', hash, clean, mime),
    size: bytes.length,
    ...(clean !== '' && { name: clean }),
    mime,
    hash,
  };
}

/** What a message shows of a stored file. Never throws. */
export function mediaOf({ hash: _, ...media }: StoredFile): Media {
  return media;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function uniqueOf(...facts: readonly string[]): string {
  const digest = createHash('sha256').update(facts.join('\0')).digest();
  return Buffer.from([...UNIQUE_PREFIX, ...digest.subarray(0, UNIQUE_BYTES - UNIQUE_PREFIX.length)]).toString(
    'base64url',
  );
}

/** The last part of a path, without what no name should hold. */
function cleanName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  return last
    .slice(0, NAME_MAX)
    .replace(/[\p{Cc}\p{Surrogate}\u2028\u2029]/gu, '')
    .trim();
}
