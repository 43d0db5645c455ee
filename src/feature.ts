import type { Context, MiddlewareFn } from 'telegraf';
import type { Events } from './events.js';
import type { Subscribers } from './store/subscribers.js';

/** A command that people can give. `name` is without the slash: 1–32 of `a-z 0-9 _`; `description` ≤ 256 characters. */
export interface FeatureCommand {
  readonly name: string;
  readonly description: string;
  /** Only those in ADMIN_IDS are told of it; its handler passes the updates of others on, so that they get the answer of an unknown command. */
  readonly admins?: true;
}

/**
 * What a handler gets: Telegraf's context of one update. It collects: `ctx.reply` and `ctx.telegram.sendMessage` put a message on the list that
 * becomes one page of the outbox when the handler is done; every other method throws PH_HANDLER_METHOD. A handler may be run
 * again for the same update (after a failure or a crash), so its other writes must be conditional on `ctx.update.update_id`.
 */
export interface HandlerContext extends Context {
  /** When the update was written to the inbox; the same in each run. */
  readonly receivedAt: Date;
}

/** A handler or a chain of them, as Telegraf's Composer takes it. Calling `next()` passes the update on. */
export type Handler = MiddlewareFn<HandlerContext>;

/** What the core offers to a feature's handlers. */
export interface FeaturePorts {
  /** The bot's id. */
  readonly bot: string;
  readonly subscribers: Subscribers;
  /** The commands of all features that this person may use, in the order of the features' list. */
  commandsFor(userId: number | undefined): readonly FeatureCommand[];
}

/** A feature: what it adds to a bot. Everything but its name is optional. */
export interface Feature {
  /** Unique, `a-z -`; the name in FEATURES. */
  readonly name: string;
  readonly commands?: readonly FeatureCommand[];
  /** Made once per bot; asked in the order of the features' list. */
  handlers?(ports: FeaturePorts): Handler;
  /** Made once per bot; asked when no feature's handlers took the update. */
  fallback?(ports: FeaturePorts): Handler;
  /** Called once per process, before anything is published: the place to subscribe to events, and to keep them for publishing. */
  listen?(events: Events): void;
}
