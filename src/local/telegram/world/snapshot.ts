import { closeSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const SNAPSHOTS_KEPT = 2;
const NAME = /^snapshot-(\d+)\.bin$/;
const TRAILER = Buffer.from('\nEND\n');

/** A world written whole: what JSON holds well, and byte sections for the rest. `offset` is the journal's offset that it stands at. */
export interface Snapshot {
  readonly offset: number;
  readonly header: unknown;
  readonly sections: readonly Uint8Array[];
}

/** Writes a snapshot beside its predecessors, whole or not at all, and drops those that are too old. Throws what the file system throws. */
export function writeSnapshot(dir: string, snapshot: Snapshot): void {
  const path = join(dir, `snapshot-${snapshot.offset}.bin`);
  const draft = `${path}.draft`;
  const fd = openSync(draft, 'w');
  try {
    const lengths = snapshot.sections.map((section) => section.byteLength);
    writeAll(fd, Buffer.from(`${JSON.stringify({ lengths, header: snapshot.header })}\n`));
    for (const section of snapshot.sections) writeAll(fd, section);
    writeAll(fd, TRAILER);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
  for (const offset of offsetsIn(dir).slice(SNAPSHOTS_KEPT))
    rmSync(join(dir, `snapshot-${offset}.bin`), { force: true });
}

/** The snapshots of a directory, newest first, each read when asked for; one that is damaged is passed over. Throws what the file system throws. */
export function* readSnapshots(dir: string): Generator<Snapshot> {
  for (const offset of offsetsIn(dir)) {
    const snapshot = readSnapshot(join(dir, `snapshot-${offset}.bin`), offset);
    if (snapshot !== undefined) yield snapshot;
  }
}

function offsetsIn(dir: string): number[] {
  return readdirSync(dir)
    .map((name) => NAME.exec(name)?.[1])
    .filter((offset) => offset !== undefined)
    .map(Number)
    .sort((a, b) => b - a);
}

function readSnapshot(path: string, offset: number): Snapshot | undefined {
  const bytes = readFileSync(path);
  const headEnd = bytes.indexOf(10);
  if (headEnd < 0 || !bytes.subarray(-TRAILER.length).equals(TRAILER)) return undefined;
  try {
    const head = JSON.parse(bytes.toString('utf8', 0, headEnd)) as { lengths: number[]; header: unknown };
    const sections: Uint8Array[] = [];
    let at = headEnd + 1;
    for (const length of head.lengths) {
      sections.push(bytes.subarray(at, at + length));
      at += length;
    }
    return at === bytes.length - TRAILER.length ? { offset, header: head.header, sections } : undefined;
  } catch {
    return undefined;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.byteLength) done += writeSync(fd, bytes, done, bytes.byteLength - done);
}
