import { type Call, done, isWhole, type LocalRoutesDeps, type Reply, refuse, strangeField } from './call.js';

/** Ten years. */
const ADVANCE_MAX_MS = 3_660 * 24 * 3600 * 1000;

/** GET clock: how late it is in this world (ms since the epoch), and whether time stands still. */
export function getClock({ clock }: LocalRoutesDeps): Reply {
  return done({ now: Math.floor(clock.now()), virtual: clock.time.stoppedAt !== undefined });
}

/** PUT clock: time stands still, goes on, or is put forward; answered when all that fell due on the way has happened. */
export async function putClock(deps: LocalRoutesDeps, { body }: Call): Promise<Reply> {
  const { world, clock, webhooks } = deps;
  const strange = strangeField(body, ['virtual', 'advanceMs']);
  if (strange !== undefined) return refuse(strange);
  const { virtual, advanceMs = 0 } = body;
  if (virtual !== undefined && typeof virtual !== 'boolean') return refuse('virtual: expected true or false');
  if (!isWhole(advanceMs, 0, ADVANCE_MAX_MS)) {
    return refuse(`advanceMs: expected a whole number of 0 to ${ADVANCE_MAX_MS}`);
  }
  if (virtual === true) clock.setStopped(true);
  if (advanceMs > 0) clock.advance(advanceMs, webhooks.patience());
  if (virtual === false) clock.setStopped(false);
  // What a kill on the way leaves must not lie in the future.
  world.setTime(clock.time);
  await clock.changed;
  return getClock(deps);
}
