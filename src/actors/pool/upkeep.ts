import { isAlive } from '../../delivery/outcome.js';
import { LONG_WAIT_MS } from '../../delivery/rate-throttle.js';
import type { ChatMark } from '../../store/send-store.js';
import { lookAtWishes } from './broadcast-moves.js';
import { advanceBroadcasts } from './broadcasts.js';
import { type Ctx, type PoolDeps, type PoolReport, type State, tellShards } from './state.js';

const PROBE_TIMEOUT_MS = 10_000;
/** How long a chat that was found unreachable is kept in mind for reads that were asked before, ms. */
const MARKED_MS = 60_000;

/** Each second: publishes figures with the next beat, reports, lets the rate grow back, cuts the sockets of a lease that has run out. */
export function onTick(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  const now = ctx.clock.now();
  const { holding } = line;
  if (holding?.grant === undefined) {
    deps.report({ sending: holding?.holder === undefined ? 'starting' : 'standby' });
    return state;
  }
  if (holding.mustDestroy()) {
    ctx.pipe(
      line.client.destroy(),
      () => ({ type: 'slots' }),
      () => ({ type: 'slots' }),
    );
  }
  for (const [chatId, at] of state.marked) if (now - at > MARKED_MS) state.marked.delete(chatId);
  const ready = now >= state.readyAt;
  if (state.throttle !== undefined) line.pacing.setRate(state.throttle.rateAt(now));
  const rate = line.pacing.rate;
  holding.publish({
    waiting: state.ledger.waiting,
    ready,
    ...(rate === line.rates.perSecond ? { rate: undefined } : { rate }),
  });
  report(state, ready ? 'held' : 'starting', ctx, deps);
  lookAtWishes(state, ctx, deps);
  advanceBroadcasts(state, ctx, deps);
  return probe(state, ctx, deps);
}

/** Tells health how the sending is; long waits that are over are forgotten. */
function report(state: State, sending: PoolReport['sending'], ctx: Ctx, deps: PoolDeps): void {
  const { outage } = deps.line;
  const wall = ctx.clock.wallNow();
  for (const [chatId, until] of state.longWaits) if (until <= wall) state.longWaits.delete(chatId);
  const bot = Math.round(deps.line.waitUntil - ctx.clock.now() + wall);
  const isShut = bot > wall;
  const chats = state.longWaits.size;
  let until = 0;
  for (const end of state.longWaits.values()) until = Math.max(until, end);
  deps.report({
    sending,
    ...(outage.reason === undefined ? {} : { outage: outage.reason }),
    ...(isShut || chats > 0 ? { waits: { chats, until, ...(isShut ? { bot } : {}) } } : {}),
  });
}

/** Chats that the store knows as frozen, after a takeover: the long waits among them are shown. */
export function noteFrozen(state: State, marks: readonly ChatMark[], ctx: Ctx): void {
  const wall = ctx.clock.wallNow();
  for (const { chatId, frozenUntil } of marks)
    if (frozenUntil - wall > LONG_WAIT_MS) state.longWaits.set(chatId, frozenUntil);
}

/** A 429: the chat's freeze goes with the next commit; several of them slow the bot down, or make all of it wait. The lease has both at once: they outlive this process. */
export function onLimited(state: State, chatId: number, retryAfterMs: number, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  const { throttle } = state;
  const now = ctx.clock.now();
  const wall = ctx.clock.wallNow();
  state.frozen.push({ chatId, until: wall + retryAfterMs });
  if (retryAfterMs > LONG_WAIT_MS) state.longWaits.set(chatId, wall + retryAfterMs);
  if (throttle === undefined) return state;
  const waited = throttle.waitUntil;
  const isCut = throttle.onLimited(chatId, retryAfterMs, now);
  const isShut = throttle.waitUntil > waited;
  if (!isCut && !isShut) return state;
  const rate = throttle.rateAt(now);
  line.pacing.setRate(rate);
  if (isCut) ctx.log.warn({ bot: line.bot, rate }, 'several chats were limited: the bot slows down');
  const waitUntil = wall + throttle.waitUntil - now;
  if (isShut) {
    line.waitUntil = throttle.waitUntil;
    line.pacing.quietUntil(throttle.waitUntil);
    ctx.log.warn({ bot: line.bot, until: new Date(waitUntil).toISOString() }, 'Telegram makes the bot wait');
    report(state, now >= state.readyAt ? 'held' : 'starting', ctx, deps);
  }
  const told = line.holding?.publishNow({ rate, ...(isShut ? { waitUntil } : {}) }) ?? Promise.resolve();
  ctx.pipe(
    told,
    () => ({ type: 'slots' }),
    () => ({ type: 'slots' }), // the next beat has it
  );
  return state;
}

/** Makes the list of begun at-most-once calls durable; one write for all that began meanwhile. */
export function publishBegun(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { holding } = deps.line;
  if (state.publishing || holding?.grant === undefined) {
    state.publishWanted = true;
    return state;
  }
  state.publishing = true;
  state.publishWanted = false;
  const begun = [...deps.line.begun];
  const { tenure } = state;
  ctx.pipe(
    holding.publishNow({ begun }),
    () => ({ type: 'published', tenure, begun }),
    () => ({ type: 'publish-failed', tenure }),
  );
  return state;
}

/** The list of begun calls is durable: these may be made. */
export function onPublished(state: State, begun: readonly string[], ctx: Ctx, deps: PoolDeps): State {
  state.publishing = false;
  for (const key of begun) if (deps.line.begun.has(key)) deps.line.begunDurable.add(key);
  tellShards(ctx, deps, { type: 'begun' });
  return state.publishWanted ? publishBegun(state, ctx, deps) : state;
}

/** An outage began or ended: told to operators, and probed. */
export function onOutage(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { outage, bot } = deps.line;
  if (outage.paused) ctx.log.warn({ bot, reason: outage.reason }, 'sending paused: Telegram does not serve this bot');
  report(state, 'held', ctx, deps);
  return probe(state, ctx, deps);
}

/** Asks getMe when the outage wants it: one call at a time. */
export function probe(state: State, ctx: Ctx, deps: PoolDeps): State {
  const { line } = deps;
  const now = ctx.clock.now();
  if (state.probing || line.outage.probeAt() > now || line.draining) return state;
  state.probing = true;
  line.outage.probing(now);
  ctx.pipe(
    line.client.call('getMe', {}, { timeoutMs: PROBE_TIMEOUT_MS }),
    (answer) => ({
      type: 'probed',
      ok: isAlive(answer),
      unauthorized: answer.kind === 'answer' && answer.status === 401,
    }),
    () => ({ type: 'probed', ok: false, unauthorized: false }),
  );
  return state;
}
