import { LANES, type Lane, laneCode } from '../../delivery/lanes.js';
import { type Ctx, type PoolDeps, type State, shardAddress } from './state.js';

/** One grant in so many goes to the lowest lane that waits, so that a flood above starves nobody for ever. */
const LOW_SHARE = 10;

/**
 * Gives the shards their turns: the highest lane that waits, all shards that want it in rotation, as many calls as there are slots.
 * A turn is an offer: the shard takes slot and pace in the same turn as the call. Called after everything that may have opened the gate.
 */
export function offerTurns(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.phase === 'standby' || state.turning.size > 0) return;
  if (state.phase === 'loading' && state.inherits) return;
  const { line } = deps;
  const mask = state.lanes.reduce((all, lanes) => all | lanes, 0);
  const now = ctx.clock.now();
  if (mask === 0 || !line.mayStart(now)) return;
  const lane = choose(mask, state.grants);
  const at = line.pacing.earliest(lane, now);
  if (at === Number.POSITIVE_INFINITY) return; // a slot that comes free calls again
  if (at > now) {
    wakeAt(state, at, now, ctx);
    return;
  }
  const bit = 1 << laneCode(lane);
  const wanting: number[] = [];
  for (let i = 0; i < deps.shards; i += 1) {
    const shard = (state.turnStart + i) % deps.shards;
    if (((state.lanes[shard] ?? 0) & bit) !== 0) wanting.push(shard);
  }
  state.turnStart = ((wanting[0] ?? state.turnStart) + 1) % deps.shards;
  state.grants += 1;
  const free = line.concurrency - line.pacing.inFlight;
  const quota = Math.max(1, Math.ceil(free / wanting.length));
  for (const shard of wanting) {
    state.turning.add(shard);
    ctx.tell(shardAddress(ctx, shard), { type: 'turn', lane, quota });
  }
}

function choose(mask: number, grants: number): Lane {
  const waiting = LANES.filter((lane) => (mask & (1 << laneCode(lane))) !== 0);
  const lane = grants % LOW_SHARE === LOW_SHARE - 1 ? waiting.at(-1) : waiting[0];
  return lane ?? 'bulk';
}

function wakeAt(state: State, at: number, now: number, ctx: Ctx): void {
  if (state.gateAt <= at && state.gateAt > now) return;
  state.gateAt = at;
  state.gateGeneration += 1;
  ctx.after(at - now, { type: 'gate', generation: state.gateGeneration });
}
