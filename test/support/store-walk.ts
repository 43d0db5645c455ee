import type { Test } from 'tap';
import { startProcess } from './posthorn-process.js';

/** What the real `posthorn doctor --store` says of all that is in the embedded store of a data directory. */
export async function storeWalk(t: Test, dataDir: string): Promise<{ status: string; detail: string } | undefined> {
  const doctor = startProcess(t, { args: ['doctor', '--store', '--json'], cwd: dataDir, env: { DATA_DIR: dataDir } });
  await doctor.ended();
  const { checks } = JSON.parse(doctor.stdout()) as { checks: { check: string; status: string; detail: string }[] };
  return checks.find(({ check }) => check === 'store, all of it');
}
