import { LANES, type Lane, laneCode } from '../../delivery/lanes.js';
import { type Ctx, type PoolDeps, type State, shardAddress } from './state.js';

/**
 * Gives the shards their turns: the highest lane that could go now (lower ones by their shares), all shards that want it in rotation, as many calls as
 * there are slots. A turn is an offer: the shard takes slot and pace in the same turn as the call. Called after everything that may have opened the gate.
 */
export function offerTurns(state: State, ctx: Ctx, deps: PoolDeps): void {
  if (state.phase === 'standby' || state.turning.size > 0) return;
  if (state.phase === 'loading' && state.inherits) return;
  const { line } = deps;
  const mask = wanted(state);
  const now = ctx.clock.now();
  if (mask === 0 || !line.mayStart(now)) return;
  const chosen = choose(state, mask, now, deps);
  if (chosen === undefined) {
    const at = Math.min(...LANES.filter((lane) => has(mask, lane)).map((lane) => line.pacing.earliest(lane, now)));
    if (at !== Number.POSITIVE_INFINITY) wakeAt(state, at, now, ctx); // else a slot that comes free calls again
    return;
  }
  const { lane, pace, most } = chosen;
  const bit = 1 << laneCode(lane);
  const wanting: number[] = [];
  for (let i = 0; i < deps.shards; i += 1) {
    const shard = (state.turnStart + i) % deps.shards;
    if (((state.lanes[shard] ?? 0) & bit) !== 0) wanting.push(shard);
  }
  state.turnStart = ((wanting[0] ?? state.turnStart) + 1) % deps.shards;
  const calls = Math.min(most, line.concurrency - line.pacing.inFlight);
  const quota = Math.max(1, Math.ceil(calls / wanting.length));
  for (const shard of wanting.slice(0, Math.max(1, calls))) {
    state.turning.add(shard);
    ctx.tell(shardAddress(ctx, shard), { type: 'turn', lane, pace, quota });
  }
}

/**
 * A lower lane that is owed calls, else the highest that may go now: one that must wait for its own spacing does not hold up another. What is owed goes at
 * the pace of replies: the spacing of bulk leaves gaps for them, and here they have had theirs.
 */
function choose(
  state: State,
  mask: number,
  now: number,
  deps: PoolDeps,
): { readonly lane: Lane; readonly pace: Lane; readonly most: number } | undefined {
  const { pacing } = deps.line;
  const owed = state.shares.owed(mask);
  if (owed !== undefined && pacing.earliest('reply', now) <= now)
    return { lane: owed.lane, pace: 'reply', most: owed.calls };
  const lane = LANES.find((one) => has(mask, one) && pacing.earliest(one, now) <= now);
  return lane === undefined ? undefined : { lane, pace: lane, most: Number.POSITIVE_INFINITY };
}

const has = (mask: number, lane: Lane): boolean => (mask & (1 << laneCode(lane))) !== 0;

/** The lanes that any shard wants a turn in, a bit each. */
export const wanted = (state: State): number => state.lanes.reduce((all, lanes) => all | lanes, 0);

function wakeAt(state: State, at: number, now: number, ctx: Ctx): void {
  if (state.gateAt <= at && state.gateAt > now) return;
  state.gateAt = at;
  state.gateGeneration += 1;
  ctx.after(at - now, { type: 'gate', generation: state.gateGeneration });
}
