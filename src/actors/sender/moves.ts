import type { Item } from '../../delivery/mailbox.js';
import { announce, type Ctx, dropWithdrawn, type SenderDeps, type SenderMessage, type State } from './state.js';

/** A chat became another: what waits here is handed over, at once or when its call has ended. */
export function onMove(
  state: State,
  { chatId, to, tenure }: Extract<SenderMessage, { type: 'move' }>,
  ctx: Ctx,
  deps: SenderDeps,
): State {
  state.leaving.set(chatId, { to, tenure });
  leave(state, chatId, ctx, deps);
  return announce(state, ctx, deps);
}

/** Hands over what waits in a chat that is to leave, unless it still has a call. */
export function leave(state: State, chatId: number, ctx: Ctx, deps: SenderDeps): void {
  const leaving = state.leaving.get(chatId);
  if (leaving === undefined) return;
  const reported = state.reported.get(chatId);
  if (state.boxes.isBusy(chatId)) {
    if (reported?.of !== 'move') return;
    state.reported.delete(chatId);
    state.boxes.retry(chatId, reported.freeAt);
  }
  state.leaving.delete(chatId);
  const notBefore = state.boxes.notBefore(chatId);
  const items = state.boxes.dropWaiting(chatId);
  ctx.tell(deps.pool, { type: 'handed', tenure: leaving.tenure, from: chatId, to: leaving.to, notBefore, items });
}

/** The items of a chat's old id are here: they and what waits already go in the order of acceptance, one that is under way first. */
export function onArrive(
  state: State,
  { chatId, released, notBefore, items }: Extract<SenderMessage, { type: 'arrive' }>,
  ctx: Ctx,
  deps: SenderDeps,
): State {
  const { moving } = deps.line;
  const left = (moving.get(released) ?? 0) - 1;
  if (left > 0) moving.set(released, left);
  else moving.delete(released);
  for (const { source, n, k } of items) state.sources.set(source, { n, k });
  const all: Item[] = [...state.boxes.dropWaiting(chatId), ...items].sort(
    (a, b) => Number(b.part > 0) - Number(a.part > 0) || a.source - b.source || a.index - b.index,
  );
  for (const { chain, source, index, lane, attempts, part } of all)
    state.boxes.push(chatId, chain as 0 | 1 | 2 | 3, source, index, lane, attempts, part);
  // What was on its way when its broadcast was withdrawn: the pool feeds or ends it.
  if (state.withdrawn.size > 0) dropWithdrawn(state);
  state.boxes.freeze(chatId, notBefore);
  if (state.awaiting.delete(released)) state.boxes.unhold(released);
  return announce(state, ctx, deps);
}
