import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StoreStartError } from '../errors.js';
import { DamagedPage, walkPages } from './pages.js';

/** The name of lmdb's file in a directory. */
export const FILE_NAME = 'data.mdb';

// Of lmdb's two meta pages (mdb.c, MDB_meta after a page header of 24 bytes), which lmdb itself reads without a check that survives a file of another kind.
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const ENCRYPTED = 0x2000; // a flag of the library's own
const AT = { magic: 24, version: 28, freeTree: 48, tableTree: 96, lastPage: 144, transaction: 152 } as const;
const TREE_BYTES = 48;
const META_BYTES = 160;

/** What a meta page says: the state of a file after one commit. */
export interface FileHeader {
  readonly transaction: bigint;
  readonly pageSize: number;
  readonly flags: number;
  /** Bytes that the commit may reach to. */
  readonly expected: number;
  /** The records of its trees: of free pages, and of tables. */
  readonly trees: readonly Buffer[];
}

function refused(path: string, why: string): StoreStartError {
  return new StoreStartError(
    'PH_STORE_FORMAT',
    `${path} is damaged or no file of this store: ${why}; put it aside or restore a backup`,
  );
}

function metaAt(fd: number, position: number): FileHeader | undefined {
  const page = Buffer.alloc(META_BYTES);
  if (readSync(fd, page, 0, META_BYTES, position) < META_BYTES || page.readUInt32LE(AT.magic) !== MAGIC)
    return undefined;
  if ((page.readUInt32LE(AT.version) & 0xffff) !== VERSION) return undefined;
  // Two fields of the free tree's record that such a tree has no use for.
  const pageSize = page.readUInt32LE(AT.freeTree);
  const flags = page.readUInt16LE(AT.freeTree + 4);
  return {
    transaction: page.readBigUInt64LE(AT.transaction),
    pageSize,
    flags,
    expected: (Number(page.readBigUInt64LE(AT.lastPage)) + 1) * pageSize,
    trees: [AT.freeTree, AT.tableTree].map((at) => page.subarray(at, at + TREE_BYTES)),
  };
}

/** The newer of the two meta pages. */
function newestMeta(fd: number, path: string): FileHeader {
  const first = metaAt(fd, 0);
  if (first === undefined) throw refused(path, 'it does not begin as one');
  const { pageSize } = first;
  if ((first.flags & ENCRYPTED) !== 0) throw refused(path, 'it is encrypted');
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
    throw refused(path, `a page size of ${pageSize}`);
  const second = metaAt(fd, pageSize);
  if (second === undefined) throw refused(path, 'its second page is damaged');
  return second.transaction > first.transaction ? second : first;
}

function withFile<T>(path: string, use: (fd: number, bytes: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    return size === 0 ? undefined : use(fd, size); // 0: lmdb was killed before it wrote anything
  } finally {
    closeSync(fd);
  }
}

/** The head of the file of a directory, read without lmdb, which does not survive a head that is none. Undefined when there is no file yet, or an empty one. Throws PH_STORE_FORMAT
 * when it is none of lmdb's. */
export function readHeader(directory: string): FileHeader | undefined {
  const path = join(directory, FILE_NAME);
  return withFile(path, (fd) => newestMeta(fd, path));
}

/** Looks at the pages of a commit before lmdb reads them: where one is missing or damaged lmdb ends the process with a signal. `whole`: at all of them; else that is done only for a
 * file that is shorter than the commit may reach to (it can be right: pages at its end that are free were never written), and of others the branch pages are looked at.
 * Returns whether the file is shorter. Throws PH_STORE_FORMAT. */
export function inspectPages(directory: string, header: FileHeader, whole: boolean): boolean {
  const path = join(directory, FILE_NAME);
  const { pageSize, expected, trees } = header;
  return (
    withFile(path, (fd, actual) => {
      const isShort = actual < expected;
      try {
        walkPages({ fd, pageSize, count: Math.floor(actual / pageSize), trees }, whole || isShort);
      } catch (error) {
        if (!(error instanceof DamagedPage)) throw error;
        const end = isShort ? `it was cut off at ${actual} of ${expected} bytes, ` : '';
        throw refused(path, `${end}${error.message}`);
      }
      return isShort;
    }) ?? true
  );
}
