import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StoreStartError } from '../errors.js';

/** The name of lmdb's file in a directory. */
export const FILE_NAME = 'data.mdb';

// Of lmdb's two meta pages (mdb.c, MDB_meta after a page header of 24 bytes), which lmdb itself reads without a check that survives a file of another kind.
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const ENCRYPTED = 0x2000; // a flag of the library's own
const AT = { magic: 24, version: 28, pageSize: 48, flags: 52, lastPage: 144, transaction: 152 } as const;
const META_BYTES = 160;

/** What the newest meta page of a file says. */
export interface FileHeader {
  /** Bytes that the last commit may reach to. */
  readonly expected: number;
  /** Bytes that there are. */
  readonly actual: number;
}

function refused(path: string, why: string): StoreStartError {
  return new StoreStartError(
    'PH_STORE_FORMAT',
    `${path} is no file of this store: ${why}; put it aside or restore a backup`,
  );
}

function metaAt(
  fd: number,
  position: number,
): { pageSize: number; flags: number; lastPage: bigint; transaction: bigint } | undefined {
  const page = Buffer.alloc(META_BYTES);
  if (readSync(fd, page, 0, META_BYTES, position) < META_BYTES || page.readUInt32LE(AT.magic) !== MAGIC)
    return undefined;
  if ((page.readUInt32LE(AT.version) & 0xffff) !== VERSION) return undefined;
  return {
    pageSize: page.readUInt32LE(AT.pageSize),
    flags: page.readUInt32LE(AT.flags),
    lastPage: page.readBigUInt64LE(AT.lastPage),
    transaction: page.readBigUInt64LE(AT.transaction),
  };
}

/** Looks at the file of a directory before lmdb maps it: lmdb ends the process with a signal on a file that is cut off or none of its own. Undefined when there is no
 * file yet, or an empty one. Throws PH_STORE_FORMAT when it is none of lmdb's, or shorter than its two meta pages. A file that is shorter than its last commit may reach to can
 * be right (pages at its end that are free were never written), so that is told, not refused. */
export function inspectFile(directory: string): FileHeader | undefined {
  const path = join(directory, FILE_NAME);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const actual = fstatSync(fd).size;
    if (actual === 0) return undefined; // lmdb was killed before it wrote anything
    const first = metaAt(fd, 0);
    if (first === undefined) throw refused(path, 'it does not begin as one');
    const { pageSize } = first;
    if ((first.flags & ENCRYPTED) !== 0) throw refused(path, 'it is encrypted');
    if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
      throw refused(path, `a page size of ${pageSize}`);
    const second = metaAt(fd, pageSize);
    if (second === undefined) throw refused(path, 'its second page is damaged');
    const newest = second.transaction > first.transaction ? second : first;
    return { expected: (Number(newest.lastPage) + 1) * pageSize, actual };
  } finally {
    closeSync(fd);
  }
}
