/**
 * IdentityActor: asks getMe for one bot until it is answered, and says whether Telegram takes the bot's token. A refused token parks its bot: the state is
 * told and noted, and asked again each minute. Failure policy: Telegram or the store being away is a state, tried again; a crash just asks again.
 * Times are ms of the injected clock.
 */

import type { TelegramClient } from '../telegram/client.js';
import { type Met, metOf } from '../telegram/get-me.js';
import { type ActorContext, type ActorSpec, assertNever } from './runtime.js';

/** getMe is tried again this often until it answers. */
const MEET_MS = 5_000;
/** A refused token is tried again each minute. */
const REFUSED_MS = 60_000;
const CALL_MS = 10_000;

/** What is told to the actor. */
export type IdentityMessage =
  /** Telegram refused a call of this bot: is it the token? */
  { readonly type: 'doubt' };

type OwnMessage =
  | IdentityMessage
  | { readonly type: 'meet' }
  | { readonly type: 'met'; readonly met: Met }
  | { readonly type: 'noted' }
  | { readonly type: 'unnoted'; readonly error: unknown };

interface State {
  /** `asking`: a call or a timer is under way. */
  readonly asking: boolean;
  readonly last: Met['kind'] | undefined;
}

/** What the actor needs. `note` keeps what getMe said; `report` is told of each answer. */
export interface IdentityDeps {
  readonly bot: string;
  readonly client: Pick<TelegramClient, 'call'>;
  readonly note: (fields: { username?: string; state: 'active' | 'unauthorized' }) => Promise<void>;
  readonly report: (met: Met) => void;
}

type Ctx = ActorContext<OwnMessage>;

/** The actor `identity`. */
export function identityActor(deps: IdentityDeps): ActorSpec<State, OwnMessage> {
  return {
    name: 'identity',
    init: (ctx) => meet({ asking: true, last: undefined }, ctx, deps),
    receive(state, message, ctx) {
      switch (message.type) {
        case 'doubt':
          return state.asking ? state : meet(state, ctx, deps);
        case 'meet':
          return meet(state, ctx, deps);
        case 'met':
          return onMet(state, message.met, ctx, deps);
        case 'noted':
          return { ...state, asking: state.last !== 'ok' };
        case 'unnoted':
          ctx.log.warn(
            { bot: deps.bot, error: String(message.error) },
            'what getMe answered could not be noted; trying again',
          );
          if (state.last === 'ok') ctx.after(MEET_MS, { type: 'meet' });
          return state;
        default:
          return assertNever(message);
      }
    },
  };
}

function meet(state: State, ctx: Ctx, deps: IdentityDeps): State {
  ctx.pipe(
    deps.client.call('getMe', {}, { timeoutMs: CALL_MS }),
    (answer) => ({ type: 'met', met: metOf(answer) }),
    (error) => ({ type: 'met', met: { kind: 'failed', reason: String(error) } }),
  );
  return { ...state, asking: true };
}

function onMet(state: State, met: Met, ctx: Ctx, deps: IdentityDeps): State {
  const { bot } = deps;
  deps.report(met);
  switch (met.kind) {
    case 'ok':
      if (state.last === 'refused') ctx.log.info({ bot }, 'Telegram takes the token of this bot again');
      note({ state: 'active', ...(met.username === undefined ? {} : { username: met.username }) }, ctx, deps);
      break;
    case 'refused':
      ctx.log.error(
        { bot, code: 'PH_BOT_UNAUTHORIZED', description: met.description },
        'Telegram refuses the token of this bot: it is parked, and tried again each minute; give it a new one with: posthorn bots add',
      );
      note({ state: 'unauthorized' }, ctx, deps);
      ctx.after(REFUSED_MS, { type: 'meet' });
      break;
    case 'failed':
      ctx.log.warn({ bot, reason: met.reason }, 'Telegram cannot be reached; trying again');
      ctx.after(MEET_MS, { type: 'meet' });
      break;
    default:
      return assertNever(met);
  }
  return { asking: true, last: met.kind };
}

function note(fields: Parameters<IdentityDeps['note']>[0], ctx: Ctx, deps: IdentityDeps): void {
  ctx.pipe(
    deps.note(fields),
    () => ({ type: 'noted' }),
    (error) => ({ type: 'unnoted', error }),
  );
}
