import { reply } from '../runtime.js';
import type { PoolDeps, State } from './state.js';

/** Answers a drain once nothing is in the air and everything is written. */
export function drained(state: State, deps: PoolDeps): void {
  const { line } = deps;
  if (state.drain === undefined) return;
  const unwritten =
    state.phase !== 'standby' && (line.registry.size > 0 || line.commit !== undefined || state.ledger.dirty);
  if (!unwritten) answerDrain(state);
}

/** Answers a drain whatever is still under way: its time is over. */
export function answerDrain(state: State): void {
  const { drain } = state;
  state.drain = undefined;
  if (drain !== undefined) reply(drain, undefined);
}
