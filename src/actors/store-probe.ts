/**
 * StoreActor: makes the indexes, looks whether the store answers, and writes this process's row with its roles and tree. The connection outlives it.
 * Failure policy: a lost store is a state that it publishes, never a crash; a crash restarts what stands on the store with it (rest-for-one).
 * Times are ms of the injected clock.
 */

import { isFull } from '../store/failure.js';
import type { ProcessIdentity } from '../store/process-identity.js';
import { beatProcess, endProcess, PROCESS_BEAT_MS } from '../store/processes.js';
import { prunePages } from '../store/pruning.js';
import type { Store } from '../store/store.js';
import { type ActorContext, type ActorSpec, assertNever } from './runtime.js';

const PRUNE_MS = 3_600_000;

/** How the store is: it answers and takes writes, nothing of it is heard, or it takes no writes since it is full. */
export type StoreState = 'ok' | 'lost' | 'full';

type OwnMessage =
  | { readonly type: 'beat' }
  | { readonly type: 'beaten'; readonly store: StoreState }
  | { readonly type: 'prune' };

interface State {
  readonly store: StoreState;
}

/** What the actor needs. `report` is told of every change; `prunes` names the bots whose old pages this process deletes. */
export interface StoreProbeDeps {
  readonly store: Store;
  readonly self: ProcessIdentity;
  readonly roles: readonly string[];
  readonly tree: () => object;
  readonly report: (store: StoreState) => void;
  readonly prunes: () => readonly string[];
}

/** The actor `store`. */
export function storeProbeActor(deps: StoreProbeDeps): ActorSpec<State, OwnMessage> {
  return {
    name: 'store',
    async init(ctx) {
      const store = await beaten(deps);
      deps.report(store);
      ctx.after(PROCESS_BEAT_MS, { type: 'beat' });
      ctx.after(PRUNE_MS, { type: 'prune' });
      return { store };
    },
    receive(state, message, ctx) {
      switch (message.type) {
        case 'beat':
          ctx.pipe(
            beaten(deps),
            (store) => ({ type: 'beaten', store }),
            () => ({ type: 'beaten', store: 'lost' }),
          );
          return state;
        case 'beaten':
          ctx.after(PROCESS_BEAT_MS, { type: 'beat' });
          if (message.store !== state.store) deps.report(message.store);
          return { store: message.store };
        case 'prune':
          ctx.after(PRUNE_MS, { type: 'prune' });
          void prune(ctx, deps);
          return state;
        default:
          return assertNever(message);
      }
    },
    async stop(_state, _ctx, reason) {
      if (reason === 'stop') await endProcess(deps.store, deps.self).catch(() => undefined);
    },
  };
}

/** Writes the row and answers what came of it. Never rejects. */
async function beaten({ store, self, roles, tree }: StoreProbeDeps): Promise<StoreState> {
  try {
    await beatProcess(store, self, roles, tree());
    return 'ok';
  } catch (error) {
    return isFull(error) ? 'full' : 'lost';
  }
}

/** Deletes old pages; a failure is told and tried again with the next round. */
async function prune(ctx: ActorContext<OwnMessage>, deps: StoreProbeDeps): Promise<void> {
  for (const bot of deps.prunes()) {
    try {
      const pages = await prunePages(deps.store, bot, ctx.clock.wallNow());
      if (pages > 0) ctx.log.info({ bot, pages }, 'old pages deleted');
    } catch (error) {
      ctx.log.warn({ bot, error: String(error) }, 'old pages could not be deleted');
    }
  }
}
