import { lastPlace } from '../../delivery/chat-moves.js';
import { shardOf } from '../../delivery/shards.js';
import type { StoredBroadcastPage } from '../../store/broadcast-store.js';
import type { ChatMark } from '../../store/send-store.js';
import type { MovedItem } from '../sender/state.js';
import { type Ctx, type Handed, type KnownReach, type PoolDeps, type State, shardAddress } from './state.js';

/** A look at the store that failed is tried again after so long, ms. */
const RETRY_MS = 1_000;

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

/**
 * Of the people of some pages of a broadcast, by the ids there, those that became a chat which the same broadcast has under its new id, too: both were subscribed when its
 * pages were made. Under the old id it is not met, so that it gets the text once.
 */
export async function metTwice(
  n: number,
  chatIds: readonly number[],
  marks: readonly ChatMark[],
  deps: PoolDeps,
): Promise<ReadonlySet<number>> {
  const moved = new Map(marks.flatMap(({ chatId, movedTo }) => (movedTo === undefined ? [] : [[chatId, movedTo]])));
  const placeOf = (chatId: number): number => lastPlace(deps.line.whereIs(chatId), (place) => moved.get(place));
  const places = new Map(chatIds.map((chatId) => [chatId, placeOf(chatId)] as const).filter(([of, at]) => of !== at));
  const there = await deps.broadcasts.among(n, new Set(places.values()));
  return new Set([...places].filter(([, at]) => there.has(at)).map(([of]) => of));
}

/** The marks of people in pages that were made before: flags of the audience are read when a page is made, and again here. */
export async function reachOf(
  n: number,
  pages: readonly StoredBroadcastPage[],
  ctx: Ctx,
  deps: PoolDeps,
): Promise<KnownReach> {
  const askedAt = ctx.clock.now();
  const chats = pages.flatMap((page) => page.chats);
  const marks = await marksOf(chats, deps);
  const unreachable = new Set(marks.filter((mark) => mark.unreachable).map((mark) => mark.chatId));
  return { unreachable, askedAt, marks, twice: await metTwice(n, chats, marks, deps) };
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

/** What waited under an old chat id goes to the shard of the new one; of a broadcast that has the new one, too, it ends as skipped. */
export function onHanded(state: State, handed: Handed, ctx: Ctx, deps: PoolDeps): void {
  const { from, to, notBefore, items, twice } = handed;
  const target = deps.line.whereIs(to);
  const known = items.flatMap((item): MovedItem[] => {
    const page = state.ledger.page(item.source);
    if (page === undefined || state.ledger.isSettled(item.source, item.index)) return [];
    return [{ ...item, n: page.n, k: page.k }];
  });
  const broadcasts = [...new Set(known.filter(({ k }) => k !== undefined).map(({ n }) => n))];
  if (broadcasts.length > 0 && twice === undefined) {
    askTwice(handed, target, broadcasts, ctx, deps);
    return;
  }
  state.feeding.delete(`move/${from}`);
  const moved = known.filter(({ k, n, part, source, index, attempts }) => {
    // One of which a part was sent goes on.
    if (k === undefined || part > 0 || twice?.has(n) !== true) return true;
    state.ledger.settle(source, index, { state: 'skipped', attempts, messageId: 0, at: ctx.clock.wallNow() });
    return false;
  });
  ctx.tell(shardAddress(ctx, shardOf(target, deps.shards)), {
    type: 'arrive',
    chatId: target,
    released: to,
    notBefore,
    items: moved,
  });
}

/** Asks in which of these broadcasts the new chat is, too; until that is known it gets no call. */
function askTwice(handed: Handed, target: number, broadcasts: readonly number[], ctx: Ctx, deps: PoolDeps): void {
  const ask = async () => {
    const twice = new Set<number>();
    for (const n of broadcasts) if ((await deps.broadcasts.among(n, new Set([target]))).size > 0) twice.add(n);
    return twice;
  };
  ctx.pipe(
    ask(),
    (twice) => ({ ...handed, twice }),
    () => ({ type: 'handed-again', tenure: handed.tenure, handed }),
  );
}

/** The store could not be asked: again after a second. */
export function onHandedAgain(handed: Handed, ctx: Ctx): void {
  ctx.after(RETRY_MS, handed);
}
