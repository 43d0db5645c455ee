import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [MOUNT, UNMOUNT] = ['mount', 'umount'] as const;

/** A disk of its own in memory. */
export interface SmallDisk {
  readonly path: string;
  /** Takes what room there is, but for so many bytes (default 0), as another program would: in the file `filler`. */
  fill(leaving?: number): void;
  /** Gives that back. */
  clear(): void;
  resize(mebibytes: number): void;
}

/** Mounts a tmpfs of this many MiB until the test ends. Undefined where that is not allowed: the test says so in a line and is skipped. */
export function mountSmallDisk(
  t: { teardown(fn: () => void): void; pass(message: string): void },
  mebibytes: number,
): SmallDisk | undefined {
  const path = mkdtempSync(join(tmpdir(), 'posthorn-disk-'));
  try {
    execFileSync(MOUNT, ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    rmSync(path, { recursive: true, force: true });
    const why = String((error as { stderr?: Buffer }).stderr ?? error).trim();
    t.pass(`SKIPPED: a small tmpfs cannot be mounted here: ${why}`);
    return undefined;
  }
  t.teardown(() => {
    execFileSync(UNMOUNT, ['-l', path]);
    rmSync(path, { recursive: true, force: true });
  });
  const filler = join(path, 'filler');
  return {
    path,
    fill(leaving = 0) {
      const { bavail, bsize } = statfsSync(path);
      try {
        // Whoever writes at the same time has the disk no less full: what is left over is not given back.
        appendFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leaving)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    },
    clear() {
      rmSync(filler, { force: true });
    },
    resize(mebibytes) {
      execFileSync(MOUNT, ['-o', `remount,size=${mebibytes}m`, path]);
    },
  };
}
