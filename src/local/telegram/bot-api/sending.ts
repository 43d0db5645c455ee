import type { LocalClock } from '../clock.js';
import type { AnswerPlace } from '../http/listener.js';
import { paceTake, paceWait } from '../limits/rate-limits.js';
import type { Bot } from '../world/bot.js';
import { countCall } from '../world/counters.js';
import type { World } from '../world/world.js';
import type { BotArguments } from './arguments.js';
import { BotRefusal, REFUSALS, tooManyRequests } from './refusal.js';

/** A method that writes to a chat: the result in JSON when it is accepted, else why not. */
export type SendMethod = (world: World, bot: Bot, args: BotArguments, now: number) => string | BotRefusal;

/**
 * The way of a call that writes to a chat: jitter, then at one moment the faults, the bot's limit, the method itself (whose chat's limit comes last)
 * and with it acceptance, then latency and the answer. Refusals with 400 and 403 count to the bot's limit, those with 429 and 500 to none. Never throws.
 */
export class Sending {
  readonly #world: World;
  readonly #clock: LocalClock;
  readonly #random: () => number;
  #inFlight = 0;
  #ending = 0;

  constructor(world: World, clock: LocalClock, random: () => number) {
    this.#world = world;
    this.#clock = clock;
    this.#random = random;
  }

  /** Takes a call under the method's own name and answers it, sooner or later. */
  begin(name: string, method: SendMethod, bot: Bot, args: BotArguments, exchange: AnswerPlace): void {
    const { counters, faults } = this.#world.state;
    this.#inFlight += 1;
    if (this.#inFlight > counters.maxInFlight) {
      counters.maxInFlight = this.#inFlight;
      this.#world.touchCounters();
    }
    // Without a delay without a closure: this is the way of each message.
    if (faults.jitterMs > 0) this.#decideLater(name, method, bot, args, exchange);
    else this.#decide(name, method, bot, args, exchange);
  }

  /** Tells that the answers given so far have left: their calls are no longer in flight. */
  settle(): void {
    this.#inFlight -= this.#ending;
    this.#ending = 0;
  }

  #decideLater(name: string, method: SendMethod, bot: Bot, args: BotArguments, exchange: AnswerPlace): void {
    const jitterMs = this.#random() * this.#world.state.faults.jitterMs;
    this.#clock.after(jitterMs, () => this.#decide(name, method, bot, args, exchange));
  }

  #decide(name: string, method: SendMethod, bot: Bot, args: BotArguments, exchange: AnswerPlace): void {
    const { faults } = this.#world.state;
    const outcome = this.#outcome(method, bot, args);
    if (outcome instanceof BotRefusal) this.#countRefusal(name, outcome);
    const lost = typeof outcome === 'string' && faults.loseAnswerShare > 0 && this.#random() < faults.loseAnswerShare;
    if (faults.latencyMs > 0) this.#endLater(outcome, lost, exchange);
    else this.#end(outcome, lost, exchange);
  }

  #endLater(outcome: string | BotRefusal, lost: boolean, exchange: AnswerPlace): void {
    this.#clock.after(this.#world.state.faults.latencyMs, () => this.#end(outcome, lost, exchange));
  }

  #end(outcome: string | BotRefusal, lost: boolean, exchange: AnswerPlace): void {
    this.#ending += 1;
    if (lost) exchange.cut();
    else if (typeof outcome === 'string') exchange.answer(200, `{"ok":true,"result":${outcome}}`);
    else exchange.answer(outcome.code, outcome.body(), undefined, outcome.headers());
  }

  #outcome(method: SendMethod, bot: Bot, args: BotArguments): string | BotRefusal {
    const { faults, bots } = this.#world.state;
    // The bot may have been removed while the call was on its way.
    if (bots.get(bot.making.id) !== bot) return REFUSALS.unauthorized;
    if (faults.errorShare > 0 && this.#random() < faults.errorShare) return REFUSALS.internal;
    if (faults.tooMany.share > 0 && this.#random() < faults.tooMany.share) {
      return tooManyRequests(faults.tooMany.retryAfter);
    }
    const now = this.#clock.now();
    const wait = paceWait(faults.limits, bot.pace, now);
    if (wait > 0) return tooManyRequests(wait);
    const outcome = method(this.#world, bot, args, now);
    if (outcome instanceof BotRefusal && outcome.code !== 429) paceTake(bot.pace, now);
    return outcome;
  }

  #countRefusal(name: string, refusal: BotRefusal): void {
    const { counters } = this.#world.state;
    countCall(counters, name);
    if (refusal.code === 429) counters.tooMany += 1;
    if (refusal.code === 403) counters.blocked += 1;
    this.#world.touchCounters();
  }
}
