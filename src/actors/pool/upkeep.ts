import { isAlive } from '../../delivery/outcome.js';
import { advanceBroadcasts } from './broadcasts.js';
import { type Ctx, type PoolDeps, type State, tellShards } from './state.js';

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
  deps.report({
    sending: ready ? 'held' : 'starting',
    ...(line.outage.reason === undefined ? {} : { outage: line.outage.reason }),
  });
  advanceBroadcasts(state, ctx, deps);
  return probe(state, ctx, deps);
}

/** A 429: the chat's freeze goes with the next commit; several of them slow the bot down. */
export function onLimited(state: State, chatId: number, retryAfterMs: number, ctx: Ctx, deps: PoolDeps): State {
  const now = ctx.clock.now();
  state.frozen.push({ chatId, until: ctx.clock.wallNow() + retryAfterMs });
  if (state.throttle?.onLimited(chatId, retryAfterMs, now) === true) {
    const rate = state.throttle.rateAt(now);
    deps.line.pacing.setRate(rate);
    ctx.log.warn({ bot: deps.line.bot, rate }, 'several chats were limited: the bot slows down');
  }
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
  deps.report({ sending: 'held', ...(outage.reason === undefined ? {} : { outage: outage.reason }) });
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
