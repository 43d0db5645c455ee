import { changeFaults } from '../limits/faults.js';
import { type Call, done, type LocalRoutesDeps, type Reply, refuse, strangeField } from './call.js';

/** PUT faults: what goes wrong on purpose from now on. */
export function putFaults({ world }: LocalRoutesDeps, { body }: Call): Reply {
  const faults = changeFaults(world.state.faults, body);
  if (typeof faults === 'string') return refuse(faults);
  world.setFaults(faults);
  return done(faults);
}

/** GET stats: the counters. */
export function getStats({ world }: LocalRoutesDeps): Reply {
  return done(world.state.counters);
}

/** POST reset: counters and faults, and the world if wished. */
export function postReset({ world, clock, polls, webhooks, callbacks }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['world']);
  if (strange !== undefined) return refuse(strange);
  const { world: withWorld = false } = body;
  if (typeof withWorld !== 'boolean') return refuse('world: expected true or false');
  // Time that stands still is a fault on purpose, too; it never goes back.
  clock.setStopped(false);
  world.setTime(clock.time);
  world.reset(withWorld);
  polls.revise();
  webhooks.revise();
  if (withWorld) callbacks.dropAll();
  return done({ world: withWorld });
}
