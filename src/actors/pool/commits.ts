import type { OpenPage } from '../../delivery/ledger.js';
import { StoreError } from '../../store/store.js';
import type { SenderMessage } from '../sender/state.js';
import { pageWhole } from './broadcasts.js';
import { letterPayload } from './feeding.js';
import { learnMove } from './moves.js';
import {
  type Ctx,
  type Ended,
  type PartSent,
  type PoolDeps,
  placeKey,
  type State,
  shardAddress,
  type TakenCommit,
} from './state.js';

/** A commit that failed is tried again after this long, ms: the store is away or full. */
const COMMIT_RETRY_MS = 200;

/** Takes the end of an item in; it counts once, however often it is reported. */
export function onItemEnded(state: State, message: Ended, ctx: Ctx, deps: PoolDeps): void {
  const { source, index, shard, chatId, key, end } = message;
  const place = placeKey(source, index);
  // Said before everything was read again: the shard says it once more under the page's new handle.
  if (state.ledger.page(source) === undefined) return;
  if (!state.ledger.settle(source, index, end)) {
    answerKnown(state, message, ctx, deps);
    return;
  }
  state.reported.set(place, { shard, chatId, key });
  if (end.state === 'sent') state.throttle?.onAccepted();
  if (message.unreachable !== undefined) state.unreachable.push({ chatId, ...message.unreachable });
  if (end.state === 'dead' || end.state === 'unknown') {
    state.deadLetters.push({
      source: state.ledger.id(deps.line.bot, source, index),
      reason: end.error?.description ?? end.state,
      attempts: end.attempts,
      payload: letterPayload({
        chatId,
        body: message.body,
        lane: message.lane,
        class: message.class,
        state: end.state,
        messageIds: state.ledger.parts(source, index),
      }),
    });
  }
}

/** Takes a sent part of an item in: the next one goes when that is durable. */
export function onPartSent(state: State, message: PartSent, ctx: Ctx, deps: PoolDeps): void {
  const { source, index, part, shard, chatId, key, messageId } = message;
  if (state.ledger.page(source) === undefined) return;
  if (state.ledger.step(source, index, part, messageId))
    state.reported.set(placeKey(source, index), { shard, chatId, key });
  else answerKnown(state, message, ctx, deps);
}

/** A restarted shard reports a call that it took over: its end is known already, and durable unless a commit is under way. */
function answerKnown(
  state: State,
  { shard, source, index, chatId, key }: Ended | PartSent,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  if (state.reported.has(placeKey(source, index))) return;
  deps.line.registry.end(key);
  ctx.tell(shardAddress(ctx, shard), { type: 'durable', items: [{ source, index, chatId }], unreachable: [] });
}

/** Begins the next commit when there is something to write and none is under way: back to back, but for a moment while calls end as fast as commits do. */
export function commitNext(state: State, ctx: Ctx, deps: PoolDeps): void {
  const { line } = deps;
  const nothing =
    !state.ledger.dirty &&
    state.deadLetters.length +
      state.unreachable.length +
      state.frozen.length +
      state.moves.length +
      state.closed.length ===
      0;
  // A grant of a later epoch is not this tenure's: what was read before it must not be written under it.
  if (line.commit !== undefined || nothing || line.holding?.grant?.epoch !== state.epoch) return;
  if (gathers(state, ctx, deps)) return;
  const batch = state.ledger.take();
  const taken: TakenCommit = {
    batch,
    commit: {
      epoch: state.epoch,
      deadLetters: state.deadLetters,
      unreachable: state.unreachable,
      frozen: state.frozen,
      moved: state.moves,
      results: batch.writes,
      closed: state.closed,
    },
  };
  state.deadLetters = [];
  state.unreachable = [];
  state.frozen = [];
  state.moves = [];
  state.closed = [];
  writeCommit(state, taken, ctx.clock.now(), ctx, deps);
}

/** Whether the commit waits for more outcomes; a timer looks again. */
function gathers(state: State, ctx: Ctx, { line }: PoolDeps): boolean {
  const now = ctx.clock.now();
  const until = line.draining ? undefined : state.gathering.until(state.reported.size, now);
  if (until === undefined) return false;
  if (!state.gatherTimer) ctx.after(until - now, { type: 'gathered' });
  state.gatherTimer = true;
  return true;
}

/** Writes a commit; `since` stays that of the first try, so that the gate closes when the store is away. */
export function writeCommit(state: State, taken: TakenCommit, since: number, ctx: Ctx, deps: PoolDeps): void {
  const { tenure } = state;
  const { commit } = taken;
  const work = deps.store.commit(commit).then(async () => {
    if (commit.unreachable.length === 0) return [];
    // The mark is not set when an update came after the call's start: only the store knows.
    const marks = await deps.store.marks(commit.unreachable.map((mark) => mark.chatId));
    return marks.filter((mark) => mark.unreachable).map((mark) => mark.chatId);
  });
  deps.line.commit = { tenure, since, done: work.then(ignore, ignore) };
  ctx.pipe(
    work,
    (unreachable) => ({ type: 'committed', tenure, taken, unreachable }),
    (error) => ({ type: 'commit-failed', tenure, taken, error }),
  );
}

const ignore = (): void => undefined;

/** The outcomes are durable: slots and chats are free, whole pages are closed with the next commit. */
export function onCommitted(
  state: State,
  taken: TakenCommit,
  unreachable: readonly number[],
  ctx: Ctx,
  deps: PoolDeps,
): void {
  const { line } = deps;
  const { ends, steps } = taken.batch;
  const now = ctx.clock.now();
  state.gathering.acknowledged(ends.length + steps.length, line.commit?.since ?? now, now);
  line.commit = undefined;
  for (const chatId of unreachable) state.marked.set(chatId, now);
  for (const { chatId, to } of taken.commit.moved ?? []) learnMove(state, chatId, to, ctx, deps);
  const byShard = new Map<number, { source: number; index: number; chatId: number }[]>();
  let begun = false;
  for (const { source, index } of [...steps, ...ends]) {
    const place = placeKey(source, index);
    const reported = state.reported.get(place);
    if (reported === undefined) {
      if (state.begunPending.size > 0) {
        const id = state.ledger.id(line.bot, source, index);
        const key = state.begunPending.get(id);
        if (state.begunPending.delete(id) && key !== undefined) begun = line.begun.delete(key) || begun;
      }
      continue;
    }
    state.reported.delete(place);
    line.registry.end(reported.key);
    line.begunDurable.delete(reported.key);
    begun = line.begun.delete(reported.key) || begun;
    const items = byShard.get(reported.shard) ?? [];
    items.push({ source, index, chatId: reported.chatId });
    byShard.set(reported.shard, items);
  }
  const tallies = new Map(state.runs.length === 0 ? [] : tally(state, taken));
  const whole = state.ledger.written(taken.batch);
  for (const page of whole) closePage(state, page, tallies, ctx, deps);
  for (let shard = 0; shard < deps.shards; shard += 1) {
    const items = byShard.get(shard) ?? [];
    const message: SenderMessage = { type: 'durable', items, unreachable };
    if (items.length > 0 || unreachable.length > 0) ctx.tell(shardAddress(ctx, shard), message);
    if (whole.length > 0)
      ctx.tell(shardAddress(ctx, shard), { type: 'forget', sources: whole.map((page) => page.source) });
    if (begun) ctx.tell(shardAddress(ctx, shard), { type: 'begun' });
  }
  if (begun) line.holding?.publish({ begun: [...line.begun] });
}

function tally(state: State, taken: TakenCommit) {
  const sources = new Set(taken.batch.ends.map((end) => end.source));
  return [...sources].map((source) => [source, state.ledger.tally(source)] as const);
}

/** A page without open items: closed with the next commit; a broadcast's page moves its broadcast on. */
export function closePage(
  state: State,
  page: OpenPage,
  tallies: ReadonlyMap<number, ReturnType<State['ledger']['tally']>>,
  ctx: Ctx,
  deps: PoolDeps,
): void {
  state.closed.push({ n: page.n, k: page.k });
  const counted = tallies.get(page.source);
  if (page.k !== undefined && counted !== undefined) pageWhole(state, page.n, page.k, counted, ctx, deps);
}

/** A commit that failed: fenced ends the tenure, anything else is tried again as it was, since its rows are absolute. */
export function onCommitFailed(
  state: State,
  taken: TakenCommit,
  error: unknown,
  ctx: Ctx,
  deps: PoolDeps,
): 'fenced' | 'again' {
  if (error instanceof StoreError && error.code === 'PH_LEASE_FENCED') return 'fenced';
  ctx.log.warn({ bot: deps.line.bot, error: String(error) }, 'outcomes could not be written; trying again');
  ctx.after(COMMIT_RETRY_MS, { type: 'commit-again', tenure: state.tenure, taken });
  return 'again';
}
