import type { LocalClock } from '../clock.js';
import type { Exchange } from '../http/listener.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { REFUSALS } from './refusal.js';
import { updateJson } from './update-json.js';

interface Poll {
  readonly bot: Bot;
  readonly exchange: Exchange;
  readonly limit: number;
  cancel: () => void;
}

/** The long polls under way, one a bot at most: a second one ends the first with 409. Never throws. */
export class UpdatePolls {
  readonly #world: World;
  readonly #clock: LocalClock;
  readonly #polls = new Map<number, Poll>();

  constructor(world: World, clock: LocalClock) {
    this.#world = world;
    this.#clock = clock;
  }

  /** Answers with what waits, or as soon as something does, or with nothing after `timeoutMs`. */
  begin(bot: Bot, exchange: Exchange, limit: number, timeoutMs: number): void {
    this.interrupt(bot);
    const updates = this.#take(bot, limit);
    if (updates !== '[]' || timeoutMs === 0) {
      answerOk(exchange, updates);
      return;
    }
    const id = bot.making.id;
    const poll: Poll = { bot, exchange, limit, cancel: () => undefined };
    this.#polls.set(id, poll);
    poll.cancel = this.#clock.after(timeoutMs, () => {
      this.#drop(id, poll);
      answerOk(exchange, '[]');
    });
    exchange.onClosed = () => this.#drop(id, poll);
  }

  /** Ends the poll of a bot, if there is one, since another call takes its place. */
  interrupt(bot: Bot): void {
    const poll = this.#polls.get(bot.making.id);
    if (poll === undefined) return;
    this.#drop(bot.making.id, poll);
    poll.exchange.answer(REFUSALS.otherPoller.code, REFUSALS.otherPoller.body());
  }

  /** Answers the polls of bots that got updates. */
  wake(bots: readonly Bot[]): void {
    for (const { making } of bots) {
      const poll = this.#polls.get(making.id);
      if (poll === undefined) continue;
      const updates = this.#take(poll.bot, poll.limit);
      if (updates === '[]') continue;
      this.#drop(making.id, poll);
      answerOk(poll.exchange, updates);
    }
  }

  /** Ends the polls of bots that are gone or were made anew: the former get 401. */
  revise(): void {
    for (const [id, poll] of this.#polls) {
      const bot = this.#world.state.bots.get(id);
      if (bot === poll.bot) continue;
      this.#drop(id, poll);
      if (bot === undefined) poll.exchange.answer(REFUSALS.unauthorized.code, REFUSALS.unauthorized.body());
      else answerOk(poll.exchange, '[]');
    }
  }

  #drop(id: number, poll: Poll): void {
    poll.cancel();
    poll.exchange.onClosed = undefined;
    if (this.#polls.get(id) === poll) this.#polls.delete(id);
  }

  #take(bot: Bot, limit: number): string {
    const now = this.#clock.now();
    for (;;) {
      const waiting = bot.queue.oldest(limit);
      if (waiting.length === 0) return '[]';
      const updates: string[] = [];
      for (const { id, offset } of waiting) {
        const update = updateJson(this.#world, bot, id, offset, now);
        if (update !== undefined) updates.push(update);
      }
      if (updates.length > 0) return `[${updates.join(',')}]`;
      // A whole page of expired ones: forget them and look further.
      this.#world.confirm(bot, (waiting.at(-1)?.id ?? 0) + 1);
    }
  }
}

function answerOk(exchange: Exchange, result: string): void {
  exchange.answer(200, `{"ok":true,"result":${result}}`);
}
