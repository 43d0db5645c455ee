import type { LocalClock } from '../clock.js';
import type { AnswerPlace } from '../http/listener.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotRefusal, REFUSALS } from './refusal.js';
import { updateJson } from './update-json.js';

interface Poll {
  readonly bot: Bot;
  readonly exchange: AnswerPlace;
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
  begin(bot: Bot, exchange: AnswerPlace, limit: number, timeoutMs: number): void {
    this.interrupt(bot, REFUSALS.otherPoller);
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

  /** Ends the poll of a bot, if there is one, since another call takes its place or excludes it. */
  interrupt(bot: Bot, refusal: BotRefusal): void {
    const poll = this.#polls.get(bot.making.id);
    if (poll === undefined) return;
    this.#drop(bot.making.id, poll);
    poll.exchange.answer(refusal.code, refusal.body());
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
    bot.queue.expire(this.#clock.now());
    for (;;) {
      const waiting = bot.queue.from(bot.queue.firstId, limit);
      if (waiting.length === 0) return '[]';
      const updates: string[] = [];
      for (const update of waiting) {
        const json = updateJson(this.#world, bot, update);
        if (json !== undefined) updates.push(json);
      }
      if (updates.length > 0) return `[${updates.join(',')}]`;
      // A whole page of what is gone: forget it and look further.
      this.#world.confirm(bot, (waiting.at(-1)?.id ?? 0) + 1);
    }
  }
}

function answerOk(exchange: AnswerPlace, result: string): void {
  exchange.answer(200, `{"ok":true,"result":${result}}`);
}
