import type { LocalClock } from '../clock.js';
import type { Bot } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type BotArguments, flagArgument, integerArgument, textArgument } from './arguments.js';
import { type BotRefusal, REFUSALS } from './refusal.js';

/** How long a person's client waits for the answer to a press. */
const WAIT_MS = 10_000;
const TEXT_MAX = 200;
const CACHED_MAX = 10_000;

/** What a bot answers to a press: shown to the person as a notice, or as an alert; or a link that opens. */
export interface CallbackAnswer {
  readonly text?: string;
  readonly alert?: boolean;
  readonly url?: string;
}

interface Wait {
  /** What the answer is remembered by. */
  readonly key: string;
  readonly end: (answer: CallbackAnswer | undefined) => void;
}

/** The clients of the people who pressed a button: they wait for the answer and remember it for as long as the bot says. Never throws. */
export class CallbackAnswers {
  readonly #clock: LocalClock;
  readonly #waits = new Map<string, Wait>();
  readonly #cached = new Map<string, { readonly answer: CallbackAnswer; readonly until: number }>();

  constructor(clock: LocalClock) {
    this.#clock = clock;
  }

  /**
   * Resolves with the answer to a press; undefined when none came within 10 s. `key` stands for the person and the button; `begin` makes the
   * query and returns its id, unless the last answer is still good.
   */
  press(key: string, begin: () => string): Promise<CallbackAnswer | undefined> {
    const cached = this.#cached.get(key);
    if (cached !== undefined && this.#clock.now() < cached.until) return Promise.resolve(cached.answer);
    this.#cached.delete(key);
    const id = begin();
    return new Promise((resolve) => {
      const cancel = this.#clock.after(WAIT_MS, () => end(undefined));
      const end = (answer: CallbackAnswer | undefined): void => {
        cancel();
        this.#waits.delete(id);
        resolve(answer);
      };
      this.#waits.set(id, { key, end });
    });
  }

  /** Gives the answer to who waits for it, if anyone still does; good for `cacheMs` more. */
  give(id: string, answer: CallbackAnswer, cacheMs: number): void {
    const wait = this.#waits.get(id);
    if (wait === undefined) return;
    if (cacheMs > 0) {
      if (this.#cached.size >= CACHED_MAX) this.#cached.clear();
      this.#cached.set(wait.key, { answer, until: this.#clock.now() + cacheMs });
    }
    wait.end(answer);
  }

  /** Ends all waits without an answer, and forgets what was remembered. */
  dropAll(): void {
    for (const { end } of [...this.#waits.values()]) end(undefined);
    this.#cached.clear();
  }
}

/** What answerCallbackQuery works on. */
export interface CallbackDeps {
  readonly world: World;
  readonly callbacks: CallbackAnswers;
}

/** answerCallbackQuery: once for each query, within 150 s of the press. Never throws. */
export function answerCallbackQuery(
  { world, callbacks }: CallbackDeps,
  bot: Bot,
  args: BotArguments,
  now: number,
): string | BotRefusal {
  const id = textArgument(args, 'callback_query_id').trim();
  if (!bot.queries.isOpen(id, now)) return REFUSALS.queryTooOld;
  const text = textArgument(args, 'text');
  if (text.length > TEXT_MAX) return REFUSALS.messageTooLong;
  const url = textArgument(args, 'url');
  if (url !== '' && !isOwnLink(url, bot)) return REFUSALS.urlInvalid;
  world.answerQuery(bot, id);
  const answer: CallbackAnswer = {
    ...(text !== '' && { text, alert: flagArgument(args, 'show_alert') }),
    ...(url !== '' && { url }),
  };
  callbacks.give(id, answer, Math.max(0, integerArgument(args, 'cache_time') ?? 0) * 1000);
  return 'true';
}

/** Whether a link leads to the bot itself: no other may be opened (games aside). */
function isOwnLink(url: string, bot: Bot): boolean {
  const name = /^(?:https?:\/\/)?(?:t|telegram)\.me\/(\w+)(?:[/?#]|$)/i.exec(url)?.[1];
  const domain = /^tg:(?:\/\/)?resolve\?(?:.*&)?domain=(\w+)(?:&|$)/i.exec(url)?.[1];
  return (name ?? domain)?.toLowerCase() === bot.making.username.toLowerCase();
}
