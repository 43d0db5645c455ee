import type { Lane } from '../../delivery/lanes.js';
import type { Item } from '../../delivery/mailbox.js';
import { beforeCall } from '../../delivery/retry.js';
import { partText } from '../../delivery/text/cut-text.js';
import type { BodyRow } from '../../store/models.js';
import type { PageBodies } from '../../store/send-store.js';
import { report } from './ends.js';
import {
  announce,
  type Call,
  type Ctx,
  contentOf,
  endTurn,
  keyOf,
  type OwnMessage,
  REFETCH_MS,
  type SenderDeps,
  type Source,
  type State,
} from './state.js';

/** How long one call may take until it counts as a time-out, ms. */
const CALL_TIMEOUT_MS = 30_000;

/** Makes calls of a lane while pace, slots and lease allow it, at most `quota`. */
export function onTurn(
  state: State,
  { lane, pace, quota }: { readonly lane: Lane; readonly pace: Lane; readonly quota: number },
  ctx: Ctx,
  deps: SenderDeps,
): State {
  const { line } = deps;
  let sent = 0;
  while (sent < quota) {
    const now = ctx.clock.now();
    if (!line.mayStart(now) || line.pacing.earliest(pace, now) > now) break;
    const ready = begunItem(state, lane, ctx, deps);
    if (ready !== undefined) {
      state.begun.delete(ready.item.chatId);
      start(state, ready.item, pace, ready.key, ready.page, ready.place, ctx, deps);
      sent += 1;
      continue;
    }
    const item = state.boxes.next(now, lane);
    if (item === undefined) break;
    if (line.moving.has(item.chatId)) {
      state.boxes.hold(item.chatId);
      state.awaiting.add(item.chatId);
      continue;
    }
    const place = state.sources.get(item.source);
    if (place === undefined) throw new Error(`PH_SENDER_SOURCE: no page for handle ${item.source}`);
    const page = line.bodiesAtHand(place.n);
    if (page === undefined) {
      load(state, place.n, item.chatId, ctx, deps);
      continue;
    }
    const key = keyOf(deps, place, item.index, item.part);
    const verdict = judge(item, now, deps);
    if (verdict === 'ask') {
      line.outage.wantProbe(now);
      ctx.tell(deps.pool, { type: 'probe-wanted' });
      state.boxes.freeze(item.chatId, now + REFETCH_MS);
      continue;
    }
    if (verdict === 'dead') {
      const begun = state.boxes.begin(item.chatId, true);
      const error = { code: 0, description: 'no clear answer in 3 attempts while others got through' };
      report(state, begun, key, contentOf(page, place, item.index), { state: 'dead', error }, now, ctx, deps);
      continue;
    }
    if (contentOf(page, place, item.index).class === 'at-most-once') {
      if (!line.begun.has(key) && line.begun.size >= line.concurrency)
        return endTurn(state, { lane, calls: sent, stuck: true }, ctx, deps);
      const begun = state.boxes.begin(item.chatId, verdict === 'spend');
      line.begun.add(key);
      state.begun.set(item.chatId, { item: begun, key });
      ctx.tell(deps.pool, { type: 'begin' });
      continue;
    }
    start(state, state.boxes.begin(item.chatId, verdict === 'spend'), pace, key, page, place, ctx, deps);
    sent += 1;
  }
  return endTurn(state, { lane, calls: sent }, ctx, deps);
}

/** An at-most-once item of that lane whose begun entry is durable, with its page; pages that are not at hand are fetched. */
function begunItem(
  state: State,
  lane: Lane,
  ctx: Ctx,
  deps: SenderDeps,
): { item: Item; key: string; page: PageBodies; place: Source } | undefined {
  for (const { item, key } of state.begun.values()) {
    const place = state.sources.get(item.source);
    if (item.lane !== lane || place === undefined || !deps.line.begunDurable.has(key)) continue;
    const page = deps.line.bodiesAtHand(place.n);
    if (page !== undefined) return { item, key, page, place };
    load(state, place.n, undefined, ctx, deps);
  }
  return undefined;
}

/** Whose fault the last failed call of the item was, if any (docs/protocol.md, Ends of a call). */
function judge(item: Item, now: number, deps: SenderDeps): 'call' | 'spend' | 'dead' | 'ask' {
  if (item.doubtedSince === undefined || item.doubtedSince > now) return 'call';
  const verdict = beforeCall({ attempts: item.attempts, blame: deps.line.outage.blame(item.doubtedSince) });
  return verdict.kind === 'call' ? (verdict.spend ? 'spend' : 'call') : verdict.kind;
}

/** Begins the call of a busy chat's item: slot, lease and pace were checked in this turn, its page is at hand. */
function start(
  state: State,
  item: Item,
  pace: Lane,
  key: string,
  page: PageBodies,
  place: Source,
  ctx: Ctx,
  deps: SenderDeps,
): void {
  const { line } = deps;
  const content = contentOf(page, place, item.index);
  const now = ctx.clock.now();
  line.pacing.take(pace, now);
  const entry = line.registry.start(
    { key, chatId: item.chatId, shard: deps.shard, startedAt: now, startedWall: ctx.clock.wallNow() },
    () =>
      line.client.call('sendMessage', payload(item.chatId, content.body, item.part), { timeoutMs: CALL_TIMEOUT_MS }),
  );
  const call: Call = { item, key, entry, tenure: state.tenure, ...content };
  ctx.pipe(
    entry.answer,
    (answer): OwnMessage => ({ type: 'ended', call, answer }),
    (error): OwnMessage => ({
      type: 'ended',
      call,
      answer: { kind: 'failure', beforeFirstByte: false, reason: String(error) },
    }),
  );
}

function payload(chatId: number, body: BodyRow, part: number): object {
  return {
    chat_id: chatId,
    text: partText(body, part),
    ...(body.parseMode === undefined ? {} : { parse_mode: body.parseMode }),
  };
}

/** Fetches the bodies of page `n`; the chat, if given, is left out until they are there. */
export function load(state: State, n: number, chatId: number | undefined, ctx: Ctx, deps: SenderDeps): void {
  const held = state.loading.get(n);
  if (chatId !== undefined) {
    state.boxes.hold(chatId);
    held?.push(chatId);
  }
  if (held !== undefined) return;
  state.loading.set(n, chatId === undefined ? [] : [chatId]);
  fetch(n, ctx, deps);
}

/** One read of a page's bodies; a failure is told as `unloadable`. */
export function fetch(n: number, ctx: Ctx, deps: SenderDeps): void {
  ctx.pipe(
    deps.line.fetchBodies(n),
    (page): OwnMessage => ({ type: 'loaded', n, found: page !== undefined }),
    (): OwnMessage => ({ type: 'unloadable', n }),
  );
}

/** The bodies are there: the chats that waited for them may go on. Throws PH_PAGE_GONE when the page is not in the store. */
export function onLoaded(state: State, n: number, found: boolean, ctx: Ctx, deps: SenderDeps): State {
  if (!found) throw new Error(`PH_PAGE_GONE: page ${n} has waiting items and is not in the store`);
  if (deps.line.bodiesAtHand(n) === undefined) {
    fetch(n, ctx, deps);
    return state;
  }
  const held = state.loading.get(n) ?? [];
  state.loading.delete(n);
  for (const chatId of held) state.boxes.unhold(chatId);
  return announce(state, ctx, deps);
}
