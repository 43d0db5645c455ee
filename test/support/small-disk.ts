import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [MOUNT, UNMOUNT] = ['mount', 'umount'] as const;

/** A disk of its own in memory. */
export interface SmallDisk {
  readonly path: string;
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
  return {
    path,
    resize(mebibytes) {
      execFileSync(MOUNT, ['-o', `remount,size=${mebibytes}m`, path]);
    },
  };
}
