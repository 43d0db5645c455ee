import type { StoredFile } from './stored-file.js';

/** Most bytes of all files together, those with the same bytes counted once: beyond, the oldest are given up. */
const BYTES_MAX = 1024 ** 3;
/** Most files: each takes some 500 bytes of memory. */
const FILES_MAX = 20_000;

/** The files that are kept, oldest first; the bounds are given for tests. Never throws. */
export class FileTable {
  readonly #bytesMax: number;
  readonly #filesMax: number;
  readonly #byUnique = new Map<string, StoredFile>();
  /** By hash: how many files have these bytes. */
  readonly #uses = new Map<string, number>();
  #bytes = 0;

  constructor(bytesMax: number = BYTES_MAX, filesMax: number = FILES_MAX) {
    this.#bytesMax = bytesMax;
    this.#filesMax = filesMax;
  }

  /** All of them, for a snapshot. */
  get all(): readonly StoredFile[] {
    return [...this.#byUnique.values()];
  }

  /** The file with that `file_unique_id`; undefined for one that nobody brought or that was given up. */
  find(unique: string): StoredFile | undefined {
    return this.#byUnique.get(unique);
  }

  /** Whether any file has these bytes. */
  has(hash: string): boolean {
    return this.#uses.has(hash);
  }

  /** Adds a file as the newest; returns the hashes of the bytes that nothing needs any more. */
  add(file: StoredFile): string[] {
    if (this.#byUnique.has(file.unique)) return [];
    const uses = this.#uses.get(file.hash) ?? 0;
    if (uses === 0) this.#bytes += file.size;
    this.#uses.set(file.hash, uses + 1);
    this.#byUnique.set(file.unique, file);
    const unused: string[] = [];
    for (const oldest of this.#byUnique.values()) {
      if ((this.#bytes <= this.#bytesMax && this.#byUnique.size <= this.#filesMax) || oldest === file) break;
      if (this.#remove(oldest)) unused.push(oldest.hash);
    }
    return unused;
  }

  /** Forgets all. */
  clear(): void {
    this.#byUnique.clear();
    this.#uses.clear();
    this.#bytes = 0;
  }

  /** Takes a file away; whether its bytes are not needed any more. */
  #remove({ unique, hash, size }: StoredFile): boolean {
    this.#byUnique.delete(unique);
    const uses = (this.#uses.get(hash) ?? 1) - 1;
    if (uses > 0) {
      this.#uses.set(hash, uses);
      return false;
    }
    this.#uses.delete(hash);
    this.#bytes -= size;
    return true;
  }
}
