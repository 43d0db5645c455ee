import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DRAFT = '.draft';

/** The bytes of files in a directory, each under its hash. What was written survives the process's death, not the machine's, as the journal. */
export class FileStore {
  readonly #dir: string;

  /** Opens the directory, and makes it when it is not there. Throws what the file system throws. */
  constructor(dir: string) {
    mkdirSync(dir, { recursive: true });
    this.#dir = dir;
  }

  /** Where the bytes with a hash lie, or would. */
  pathOf(hash: string): string {
    return join(this.#dir, hash);
  }

  /** Whether the bytes with a hash are there. */
  has(hash: string): boolean {
    return existsSync(this.pathOf(hash));
  }

  /** Keeps bytes, whole or not at all; false when the disk refuses. Never throws. */
  write(hash: string, bytes: Buffer): boolean {
    if (this.has(hash)) return true;
    const path = this.pathOf(hash);
    try {
      writeFileSync(path + DRAFT, bytes);
      renameSync(path + DRAFT, path);
      return true;
    } catch {
      this.remove(hash + DRAFT);
      return false;
    }
  }

  /** Gives bytes up. Never throws: what cannot be removed now is found by the next `prune`. */
  remove(hash: string): void {
    try {
      rmSync(this.pathOf(hash), { force: true });
    } catch {
      // As the docstring says.
    }
  }

  /** Gives up all but what is needed, and what a death left half-written. Never throws: the next one finds what is left. */
  prune(isNeeded: (hash: string) => boolean): void {
    try {
      for (const name of readdirSync(this.#dir)) if (!isNeeded(name)) this.remove(name);
    } catch {
      // As the docstring says.
    }
  }
}
