/**
 * DeadLetterWatchActor: counts, every 10 s, how many dead letters of each queue wait, and tells when more than 10 do, and when that is over: a line in
 * the log, an event, and what /health/ready shows. It orders nothing. Failure policy: a store that is away is looked at again; the figures stay. Times are ms
 * of the injected clock.
 */
import type { Events } from '../events.js';
import { QUEUES, type Queue } from '../queues.js';
import { type ActorContext, type ActorSpec, assertNever } from './runtime.js';

const LOOK_MS = 10_000;
/** More of one queue are told of. */
const BORNE = 10;

type OwnMessage =
  | { readonly type: 'look' }
  | { readonly type: 'counted'; readonly waiting: ReadonlyMap<Queue, number> }
  | { readonly type: 'failed' };

/** The queues of which too many letters wait. */
interface State {
  readonly piledUp: ReadonlySet<Queue>;
}

/** What the actor needs. `report` is told of the queues of which too many wait, at each change of a figure or of the queues. */
export interface DeadLetterWatchDeps {
  /** How many letters of these queues wait. */
  count(queues: readonly Queue[]): Promise<number>;
  readonly events: Pick<Events, 'publish'>;
  report(piledUp: ReadonlyMap<Queue, number>): void;
}

/** The actor `dead-letters`. */
export function deadLetterWatchActor(deps: DeadLetterWatchDeps): ActorSpec<State, OwnMessage> {
  return {
    name: 'dead-letters',
    init(ctx) {
      const state: State = { piledUp: new Set() };
      look(state, ctx, deps);
      return state;
    },
    receive(state, message, ctx) {
      switch (message.type) {
        case 'look':
          look(state, ctx, deps);
          return state;
        case 'counted':
          ctx.after(LOOK_MS, { type: 'look' });
          return onCounted(state, message.waiting, ctx, deps);
        case 'failed':
          ctx.after(LOOK_MS, { type: 'look' });
          return state;
        default:
          return assertNever(message);
      }
    },
  };
}

/** Each queue is counted by itself only when that can matter: mostly one question is enough. */
async function counts({ piledUp }: State, { count }: DeadLetterWatchDeps): Promise<Map<Queue, number>> {
  if (piledUp.size === 0 && (await count(QUEUES)) <= BORNE) return new Map();
  return new Map(await Promise.all(QUEUES.map(async (queue) => [queue, await count([queue])] as const)));
}

function look(state: State, ctx: ActorContext<OwnMessage>, deps: DeadLetterWatchDeps): void {
  ctx.pipe(
    counts(state, deps),
    (waiting) => ({ type: 'counted', waiting }),
    () => ({ type: 'failed' }),
  );
}

function onCounted(
  { piledUp }: State,
  waiting: ReadonlyMap<Queue, number>,
  ctx: ActorContext<OwnMessage>,
  { events, report }: DeadLetterWatchDeps,
): State {
  const many = new Map([...waiting].filter(([, count]) => count > BORNE));
  report(many);
  for (const [queue, count] of waiting) {
    if (many.has(queue) === piledUp.has(queue)) continue;
    const fact = { queue, waiting: count };
    if (many.has(queue)) {
      ctx.log.warn(fact, 'dead letters wait: see posthorn dlq list');
      events.publish('dead-letters.piled-up', fact);
    } else {
      ctx.log.info(fact, 'the dead letters were dealt with');
      events.publish('dead-letters.dealt-with', fact);
    }
  }
  return { piledUp: new Set(many.keys()) };
}
