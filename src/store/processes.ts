import type { ProcessRow } from './models.js';
import type { ProcessIdentity } from './process-identity.js';
import type { Store } from './store.js';

/** A process writes its row this often; after VOID_MS of silence it counts as gone. */
export const PROCESS_BEAT_MS = 3_000;
const VOID_MS = 15_000;

/** A live process as GET /api/system/tree shows it. */
export interface LiveProcess {
  readonly host: string;
  readonly pid: number;
  readonly roles: readonly string[];
  readonly root: object;
}

/** Writes this process's row: its roles and its tree as they are now. */
export async function beatProcess(
  store: Store,
  self: ProcessIdentity,
  roles: readonly string[],
  tree: object,
): Promise<void> {
  const { host, pid, started, bootId, pidNamespace } = self;
  await store.models.Processes.collection.updateOne(
    { host, pid, started },
    { $set: { bootId, pidNamespace, roles: [...roles], tree, at: new Date() }, $inc: { beat: 1 } },
    { upsert: true },
  );
}

/** Takes this process's row away at a clean end, and rows that have been silent for a day. */
export async function endProcess(store: Store, self: ProcessIdentity): Promise<void> {
  const { host, pid, started } = self;
  await store.models.Processes.collection.deleteOne({ host, pid, started });
  await store.models.Processes.collection.deleteMany({ at: { $lt: new Date(Date.now() - 86_400_000) } });
}

/** The processes that have written within the last 15 s. For showing only: nothing is decided by these clocks. */
export async function listProcesses(store: Store): Promise<LiveProcess[]> {
  const rows = (await store.models.Processes.collection
    .find({ at: { $gt: new Date(Date.now() - VOID_MS) } })
    .toArray()) as unknown as ProcessRow[];
  return rows.map(({ host, pid, roles, tree }) => ({ host, pid, roles, root: tree }));
}
