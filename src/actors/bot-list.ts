/**
 * BotListActor: looks at the bots of the store and lets its fleet follow them: added ones are taken up, removed ones let go of, one with a new token or
 * other rates is started again. Failure policy: a store that is away is a state, the next look tries again; what runs is kept outside of the actor.
 */
import { type ActorSpec, assertNever } from './runtime.js';

/** An added bot is taken up within about 2 s by a process that runs bots; one that does not only tells of them. */
const LOOK_MS = { runs: 1_900, tells: 5_000 } as const;

type OwnMessage = { readonly type: 'look' } | { readonly type: 'looked' };

/** The actor `bot-list`; `look` begins what is to be done and never waits for its end. */
export function botListActor(
  kind: keyof typeof LOOK_MS,
  look: () => Promise<void>,
): ActorSpec<Record<string, never>, OwnMessage> {
  return {
    name: 'bot-list',
    init(ctx) {
      ctx.after(LOOK_MS[kind], { type: 'look' });
      return {};
    },
    receive(state, message, ctx) {
      switch (message.type) {
        case 'look':
          ctx.pipe(
            look(),
            () => ({ type: 'looked' }),
            (error) => {
              ctx.log.debug({ error: String(error) }, 'the list of bots could not be read; tried again');
              return { type: 'looked' };
            },
          );
          return state;
        case 'looked':
          ctx.after(LOOK_MS[kind], { type: 'look' });
          return state;
        default:
          return assertNever(message);
      }
    },
  };
}
