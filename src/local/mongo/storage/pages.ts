import { readSync } from 'node:fs';

// The layout of lmdb's pages (mdb.c of lmdb 3.5.6, data version 2, 64 bits, little-endian): MDB_page_header, MDB_node, MDB_ovpage, MDB_db.
const HEADER_BYTES = 24;
const PAGE = { number: 0, flags: 18, lower: 20, upper: 22, pages: 20 } as const;
const NODE_BYTES = 8;
const NODE = { sizeLow: 0, sizeHigh: 2, flags: 4, keyBytes: 6 } as const;
const TREE = { depth: 6, root: 40, bytes: 48 } as const;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const KINDS = 0x6f;
const BIG = 0x01; // a node whose value lies on pages of its own
const SUBTREE = 0x02; // a node that is the record of a named table
const DUPLICATES = 0x04; // none of our tables has them
const OVERFLOW_BYTES = 24;
const NONE = 2n ** 64n - 1n;
const MAX_DEPTH = 32;

/** Where to walk. */
export interface Pages {
  readonly fd: number;
  readonly pageSize: number;
  /** Pages that there are in the file, the last one in full. */
  readonly count: number;
  /** The records of a commit's two trees: of its free pages, and of its tables. */
  readonly trees: readonly Buffer[];
}

/** Thrown with a sentence about the first page that is wrong. */
export class DamagedPage extends Error {}

/** Walks the pages that a commit reaches and throws DamagedPage on the first that is missing, is reached twice or is not what its parent says. What lmdb reads of such a page it
 * answers with a signal that ends the process. `leaves` false: of the tables only the branch pages are read (a hundredth of the file), which tells of leaves beyond its end, not of
 * damaged ones. One system call a page that is read, one bit of memory a page. */
export function walkPages(pages: Pages, leaves: boolean): void {
  const { fd, pageSize, count } = pages;
  const seen = new Uint8Array(Math.ceil(count / 8));

  function wrong(page: bigint | number, what: string): DamagedPage {
    return new DamagedPage(`page ${page} ${what}`);
  }

  function claim(first: bigint, many: number): number {
    if (first < 2n || first + BigInt(many) > BigInt(count))
      throw wrong(first, `is beyond the end of the file (${count} pages)`);
    const from = Number(first);
    for (let page = from; page < from + many; page++) {
      const bit = 1 << (page & 7);
      if (((seen[page >> 3] ?? 0) & bit) !== 0) throw wrong(page, 'belongs to two');
      seen[page >> 3] = (seen[page >> 3] ?? 0) | bit;
    }
    return from;
  }

  /** Reads a page with its head checked. */
  function load(page: number, into: Buffer, kind: number): Buffer {
    if (readSync(fd, into, 0, into.length, page * pageSize) < into.length) throw wrong(page, 'is cut off');
    const found = into.readUInt16LE(PAGE.flags) & KINDS;
    if (into.readBigUInt64LE(PAGE.number) !== BigInt(page) || found !== kind) throw wrong(page, 'is none of its tree');
    return into;
  }

  /** The places of a page's nodes, each with room for its head and key. */
  function nodesOf(page: number, bytes: Buffer): number[] {
    const lower = bytes.readUInt16LE(PAGE.lower);
    const upper = bytes.readUInt16LE(PAGE.upper);
    if (lower === 0 || lower % 2 !== 0 || lower > upper || upper + HEADER_BYTES > pageSize)
      throw wrong(page, 'has no nodes that can be right');
    const places: number[] = [];
    for (let i = 0; i < lower; i += 2) {
      const place = bytes.readUInt16LE(HEADER_BYTES + i) + HEADER_BYTES;
      if (place < upper + HEADER_BYTES || place + NODE_BYTES > pageSize || dataOf(bytes, place) > pageSize)
        throw wrong(page, 'has a node outside of it');
      places.push(place);
    }
    return places;
  }

  function dataOf(bytes: Buffer, node: number): number {
    return node + NODE_BYTES + bytes.readUInt16LE(node + NODE.keyBytes);
  }

  function walkBig(page: number, record: Buffer): void {
    const first = record.readBigUInt64LE(0);
    const many = record.readBigUInt64LE(16);
    if (many < 1n || many > BigInt(count)) throw wrong(page, 'has a value of no length');
    const head = load(claim(first, Number(many)), Buffer.alloc(HEADER_BYTES), OVERFLOW);
    if (BigInt(head.readUInt32LE(PAGE.pages)) !== many) throw wrong(first, 'is of another length');
  }

  function walkLeaf(page: number, bytes: Buffer): void {
    for (const node of nodesOf(page, bytes)) {
      const flags = bytes.readUInt16LE(node + NODE.flags);
      const size = bytes.readUInt16LE(node + NODE.sizeLow) + bytes.readUInt16LE(node + NODE.sizeHigh) * 0x1_0000;
      const data = dataOf(bytes, node);
      const held = (flags & BIG) !== 0 ? OVERFLOW_BYTES : size;
      if ((flags & DUPLICATES) !== 0 || data + held > pageSize) throw wrong(page, 'has a node that cannot be right');
      if ((flags & BIG) !== 0) walkBig(page, bytes.subarray(data, data + held));
      else if ((flags & SUBTREE) !== 0) {
        if (size !== TREE.bytes) throw wrong(page, 'has no record of a table where one should be');
        walkTree(bytes.subarray(data, data + size), leaves);
      }
    }
  }

  /** `height` levels of a tree from a page down: 1 is a leaf. */
  function walkDown(page: bigint, height: number, withLeaves: boolean): void {
    const own = claim(page, 1);
    if (height === 1 && !withLeaves) return;
    const bytes = load(own, Buffer.allocUnsafe(pageSize), height === 1 ? LEAF : BRANCH);
    if (height === 1) {
      walkLeaf(own, bytes);
      return;
    }
    for (const node of nodesOf(own, bytes)) {
      const low = bytes.readUInt32LE(node + NODE.sizeLow);
      walkDown(BigInt(low) + (BigInt(bytes.readUInt16LE(node + NODE.flags)) << 32n), height - 1, withLeaves);
    }
  }

  function walkTree(record: Buffer, withLeaves: boolean): void {
    const root = record.readBigUInt64LE(TREE.root);
    const depth = record.readUInt16LE(TREE.depth);
    if (root === NONE && depth === 0) return;
    if (depth < 1 || depth > MAX_DEPTH) throw wrong(root, `is the root of a tree of ${depth} levels`);
    walkDown(root, depth, withLeaves);
  }

  for (const tree of pages.trees) walkTree(tree, true);
}
