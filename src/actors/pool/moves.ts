import { shardOf } from '../../delivery/shards.js';
import type { ChatMark } from '../../store/send-store.js';
import type { MovedItem } from '../sender/state.js';
import { type Ctx, type Handed, type PoolDeps, type State, shardAddress } from './state.js';

/** The marks of these chats, and of the chats that they became. */
export async function marksOf(chatIds: readonly number[], deps: PoolDeps): Promise<ChatMark[]> {
  const asked = new Set<number>(chatIds);
  const marks: ChatMark[] = [];
  for (let next = [...asked]; next.length > 0; ) {
    const found = await deps.store.marks(next);
    marks.push(...found);
    next = found.flatMap(({ movedTo }) => (movedTo === undefined || asked.has(movedTo) ? [] : [movedTo]));
    for (const chatId of next) asked.add(chatId);
  }
  return marks;
}

/** Takes in which chats became others, as the store tells. */
export function learnMoves(state: State, marks: readonly ChatMark[], ctx: Ctx, deps: PoolDeps): void {
  for (const { chatId, movedTo } of marks) if (movedTo !== undefined) learnMove(state, chatId, movedTo, ctx, deps);
}

/**
 * A chat is known, durably, to have become another: from now on its items are fed under the new id, and what waits under the old one is handed over.
 * Until that has arrived the new chat gets no call, so that nothing overtakes it.
 */
export function learnMove(state: State, from: number, to: number, ctx: Ctx, deps: PoolDeps): void {
  const { line } = deps;
  if (line.moved.get(from) === to || line.whereIs(to) === from) return;
  line.moved.set(from, to);
  if (state.phase === 'standby') return;
  const target = line.whereIs(to);
  line.moving.set(target, (line.moving.get(target) ?? 0) + 1);
  state.feeding.add(`move/${from}`);
  ctx.tell(shardAddress(ctx, shardOf(from, deps.shards)), {
    type: 'move',
    chatId: from,
    to: target,
    tenure: state.tenure,
  });
}

/** What waited under an old chat id goes to the shard of the new one. */
export function onHanded(state: State, { from, to, notBefore, items }: Handed, ctx: Ctx, deps: PoolDeps): void {
  state.feeding.delete(`move/${from}`);
  const target = deps.line.whereIs(to);
  const moved = items.flatMap((item): MovedItem[] => {
    const page = state.ledger.page(item.source);
    if (page === undefined || state.ledger.isSettled(item.source, item.index)) return [];
    return [{ ...item, n: page.n, k: page.k }];
  });
  ctx.tell(shardAddress(ctx, shardOf(target, deps.shards)), {
    type: 'arrive',
    chatId: target,
    released: to,
    notBefore,
    items: moved,
  });
}
