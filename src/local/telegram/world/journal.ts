import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { LocalTelegramError } from '../local-telegram-error.js';

/** History kept on disk, in bytes; older messages are given up first. */
const HISTORY_BYTES = 512 * 1024 * 1024;
/** In so many segments; when one is full it is closed and the world is written whole. */
const SEGMENTS_KEPT = 16;

const STAGE_BYTES = 256 * 1024;
const STAGE_FLUSH_BYTES = 1024 * 1024;
const READ_BYTES = 4 * 1024;
const LINE_MAX_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;
const NAME = /^journal-(\d+)\.log$/;

interface Segment {
  readonly base: number;
  readonly fd: number;
  readonly path: string;
  size: number;
}

/**
 * An append-only log of lines, in segments, addressed by offsets over all of them. What `flush` has written survives the process's death
 * at any moment (not the machine's: nothing is synced). Offsets begin at 1, so 0 can mean none.
 */
export class Journal {
  readonly #dir: string;
  readonly #onStaged: () => void;
  readonly #segmentBytes: number;
  #segments: Segment[];
  #stage: Buffer = Buffer.allocUnsafe(STAGE_BYTES);
  #staged = 0;
  #failure: unknown;

  private constructor(dir: string, segments: Segment[], onStaged: () => void, historyBytes: number) {
    this.#dir = dir;
    this.#segments = segments;
    this.#onStaged = onStaged;
    this.#segmentBytes = historyBytes / SEGMENTS_KEPT;
  }

  /**
   * Opens the log of a directory that exists; a torn last line is cut off. `onStaged` is called when lines begin to wait for `flush`; `historyBytes` is about what the
   * lines may take on disk, default 512 MB. Throws PH_LOCAL_TELEGRAM_DATA.
   */
  static open(dir: string, onStaged: () => void, historyBytes: number = HISTORY_BYTES): Journal {
    try {
      const bases = readdirSync(dir)
        .map((name) => NAME.exec(name)?.[1])
        .filter((base) => base !== undefined)
        .map(Number)
        .sort((a, b) => a - b);
      if (bases.length === 0) bases.push(1);
      const segments = bases.map((base) => openSegment(dir, base));
      const last = segments.at(-1);
      if (last !== undefined) cutTornLine(last);
      return new Journal(dir, segments, onStaged, historyBytes);
    } catch (error) {
      throw new LocalTelegramError('PH_LOCAL_TELEGRAM_DATA', `cannot open the journal in ${dir}`, error);
    }
  }

  /** Offset of the oldest line that is kept. */
  get oldest(): number {
    return this.#segments[0]?.base ?? 1;
  }

  /** Offset of the next line. */
  get end(): number {
    const last = this.#last();
    return last.base + last.size + this.#staged;
  }

  /** What the last `flush` failed with, undefined when it did not. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Whether the newest segment has had its fill. */
  get full(): boolean {
    return this.#last().size >= this.#segmentBytes;
  }

  /** Asks the owner to call `flush` soon. */
  wake(): void {
    this.#onStaged();
  }

  /** Stages a line (without line breaks) and returns its offset. Never throws. */
  append(line: string): number {
    if (this.#staged === 0) this.#onStaged();
    const need = this.#staged + line.length * 3 + 1;
    if (need > this.#stage.length) {
      const grown = Buffer.allocUnsafe(Math.max(need, this.#stage.length * 2));
      this.#stage.copy(grown, 0, 0, this.#staged);
      this.#stage = grown;
    }
    const offset = this.end;
    this.#staged += this.#stage.write(line, this.#staged, 'utf8');
    this.#stage[this.#staged] = NEWLINE;
    this.#staged += 1;
    if (this.#staged > STAGE_FLUSH_BYTES) this.flush();
    return offset;
  }

  /** Writes all staged lines; on failure they stay staged, `failure` is set and false comes back. Never throws. */
  flush(): boolean {
    if (this.#staged === 0) return true;
    const last = this.#last();
    try {
      let done = 0;
      // At fixed positions: bytes of a write that failed half-way are written over by the next try.
      while (done < this.#staged) done += writeSync(last.fd, this.#stage, done, this.#staged - done, last.size + done);
      last.size += this.#staged;
      this.#staged = 0;
      this.#failure = undefined;
      if (this.#stage.length > STAGE_FLUSH_BYTES * 4) this.#stage = Buffer.allocUnsafe(STAGE_BYTES);
      return true;
    } catch (error) {
      this.#failure = error;
      return false;
    }
  }

  /** The line at an offset that `append` gave; undefined when it was given up or cannot be read. Never throws. */
  read(offset: number): string | undefined {
    const last = this.#last();
    if (offset >= last.base + last.size && !this.flush()) return undefined;
    const segment = this.#segments.findLast(({ base }) => base <= offset);
    if (segment === undefined) return undefined;
    try {
      for (let bytes = READ_BYTES; bytes <= LINE_MAX_BYTES; bytes *= 8) {
        const buffer = Buffer.allocUnsafe(bytes);
        const got = readSync(segment.fd, buffer, 0, bytes, offset - segment.base);
        const end = buffer.subarray(0, got).indexOf(NEWLINE);
        if (end >= 0) return buffer.toString('utf8', 0, end);
        if (got < bytes) return undefined;
      }
    } catch {
      return undefined;
    }
    return undefined;
  }

  /** The lines that begin in [from, to), oldest first, with their offsets; without those that were given up or cannot be read. Never throws. */
  *lines(from: number, to: number): Generator<readonly [string, number]> {
    this.flush();
    for (const segment of this.#segments) {
      const start = Math.max(from, segment.base);
      const end = Math.min(to, segment.base + segment.size);
      if (start >= end) continue;
      const bytes = Buffer.allocUnsafe(end - start);
      try {
        if (readSync(segment.fd, bytes, 0, bytes.length, start - segment.base) < bytes.length) return;
      } catch {
        return;
      }
      let at = 0;
      while (at < bytes.length) {
        const newline = bytes.indexOf(NEWLINE, at);
        const line = newline < 0 ? this.read(start + at) : bytes.toString('utf8', at, newline);
        if (line !== undefined) yield [line, start + at];
        at = newline < 0 ? bytes.length : newline + 1;
      }
    }
  }

  /** Calls back with every line from an offset on, oldest first. Throws what the callback or the file system throws. */
  replay(from: number, each: (line: string, offset: number) => void): void {
    for (const segment of this.#segments) {
      if (segment.base + segment.size <= from) continue;
      const bytes = readFileSync(segment.path);
      let at = Math.max(0, from - segment.base);
      for (;;) {
        const end = bytes.indexOf(NEWLINE, at);
        if (end < 0) break;
        each(bytes.toString('utf8', at, end), segment.base + at);
        at = end + 1;
      }
    }
  }

  /** Begins a new segment at the end (all must be flushed) and gives up the oldest beyond `keep`. Throws what the file system throws. */
  rotate(keep: number = SEGMENTS_KEPT): void {
    if (this.#last().size > 0) this.#segments.push(openSegment(this.#dir, this.end));
    for (const segment of this.#segments.splice(0, Math.max(0, this.#segments.length - keep))) {
      closeSync(segment.fd);
      rmSync(segment.path, { force: true });
    }
  }

  /** Closes the files. Never throws. */
  close(): void {
    for (const { fd } of this.#segments) closeSync(fd);
    this.#segments = [];
  }

  #last(): Segment {
    const last = this.#segments.at(-1);
    if (last === undefined) throw new LocalTelegramError('PH_LOCAL_TELEGRAM_DATA', 'the journal is closed');
    return last;
  }
}

function openSegment(dir: string, base: number): Segment {
  const path = join(dir, `journal-${base}.log`);
  const fd = openSync(path, 'a+');
  closeSync(fd);
  // Not in append mode: positions are given with each write.
  const forBoth = openSync(path, 'r+');
  return { base, fd: forBoth, path, size: fstatSync(forBoth).size };
}

function cutTornLine(segment: Segment): void {
  const bytes = readFileSync(segment.path);
  const whole = bytes.lastIndexOf(NEWLINE) + 1;
  if (whole < bytes.length) ftruncateSync(segment.fd, whole);
  segment.size = whole;
}
