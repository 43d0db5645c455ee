import type { Bot } from '../world/bot.js';
import { type DeliveryDeps, WebhookDelivery } from './webhook-delivery.js';

const SET_PAUSE_MS = 1000;
/** How long virtual time waits for webhooks to answer before it goes on without them, and how often it does so on one way. */
const GRACE_MS = 2000;
const GRACES = 3;
/** So often at least is looked before that: a host that stood still for two seconds has waited for nobody. */
const GRACE_LOOKS = 500;

/** The webhooks of all bots that have set one. Never throws. */
export class Webhooks {
  readonly #deps: DeliveryDeps;
  readonly #deliveries = new Map<number, WebhookDelivery>();
  /** When each bot may set one again (ms since the epoch). */
  readonly #nextSet = new Map<number, number>();
  #isRevised: boolean;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#isRevised = false;
  }

  /** Whether a bot may set a webhook now, which it then has: not more than once a second. */
  maySet(bot: Bot): boolean {
    const now = this.#deps.clock.now();
    if (now < (this.#nextSet.get(bot.making.id) ?? 0)) return false;
    this.#nextSet.set(bot.making.id, now + SET_PAUSE_MS);
    return true;
  }

  /** The delivery of a bot's updates as it stands. */
  delivery(bot: Bot): WebhookDelivery | undefined {
    const delivery = this.#deliveries.get(bot.making.id);
    return delivery?.bot === bot && delivery.settings === bot.settings.webhook ? delivery : undefined;
  }

  /** Ends at once what bots no longer want, or bots that are gone; what they want anew begins at the next `wake`. */
  revise(): void {
    this.#isRevised = false;
    for (const [id, delivery] of this.#deliveries) {
      if (this.#deps.world.state.bots.get(id) === delivery.bot && this.delivery(delivery.bot) === delivery) continue;
      delivery.stop();
      this.#deliveries.delete(id);
    }
  }

  /** Delivers what is new to these bots, all of which must be durable by now. */
  wake(fresh: readonly Bot[]): void {
    if (!this.#isRevised) {
      this.#isRevised = true;
      for (const bot of this.#deps.world.state.bots.values()) this.#begin(bot);
    }
    for (const bot of fresh) this.delivery(bot)?.wake();
  }

  /**
   * For one way of virtual time: returns what resolves when no delivery is under way, or after two seconds of the host's time; when that
   * has happened three times, at once.
   */
  patience(): () => Promise<void> {
    let graces = GRACES;
    return async () => {
      const end = performance.now() + GRACE_MS;
      for (let looks = 0; graces > 0; looks += 1) {
        if (![...this.#deliveries.values()].some(({ isSending }) => isSending)) return;
        if (looks > GRACE_LOOKS && performance.now() > end) {
          graces -= 1;
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
  }

  /** Ends all deliveries. */
  stop(): void {
    for (const delivery of this.#deliveries.values()) delivery.stop();
    this.#deliveries.clear();
  }

  #begin(bot: Bot): void {
    const { webhook } = bot.settings;
    if (webhook === undefined || this.delivery(bot) !== undefined) return;
    const delivery = new WebhookDelivery(this.#deps, bot, webhook);
    this.#deliveries.set(bot.making.id, delivery);
    delivery.wake();
  }
}
