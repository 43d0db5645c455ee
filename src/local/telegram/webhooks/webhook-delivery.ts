import { updateJson } from '../bot-api/update-json.js';
import type { LocalClock } from '../clock.js';
import type { Bot, WebhookSettings } from '../world/bot.js';
import type { World } from '../world/world.js';
import { type Backoff, laneOf, NO_BACKOFF, nextBackoff } from './lanes.js';
import { type WebhookAnswer, WebhookClient, type WebhookOutcome } from './webhook-client.js';

/** Most updates taken from the queue and not done; what waits behind them is not looked at. */
const LOADED_MAX = 1000;
/** A webhook that says 410 for so long is given up. */
const GONE_MS = 23 * 3600 * 1000;
const GONE = 410;

/** What a delivery works on. */
export interface DeliveryDeps {
  readonly world: World;
  readonly clock: LocalClock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Carries out the method call that an answer may hold. */
  readonly carryOut: (bot: Bot, answer: WebhookAnswer) => void;
  /** Told of each try that failed, in Telegram's words. */
  readonly onFailed: (bot: Bot, message: string) => void;
  /** Told of what should not have been thrown. */
  readonly onDefect: (error: unknown) => void;
}

/** What went wrong last: when (ms since the epoch) and how, in Telegram's words. */
export interface WebhookError {
  readonly at: number;
  readonly message: string;
}

interface Loaded {
  readonly id: number;
  readonly until: number;
  readonly json: string;
}

/** Updates that are delivered one after another; not in `#ready` while one is under way or waits to be tried again. */
interface Lane {
  readonly key: string;
  readonly updates: Loaded[];
  backoff: Backoff;
}

/**
 * Delivers one bot's updates to its webhook: in order within a lane, lanes side by side over up to `maxConnections` connections. An update
 * leaves the queue when it was answered with 2xx, or when the next try would come after its time. Never throws.
 */
export class WebhookDelivery {
  readonly settings: WebhookSettings;
  readonly bot: Bot;
  readonly #deps: DeliveryDeps;
  readonly #client: WebhookClient;
  readonly #lanes = new Map<string, Lane>();
  readonly #ready: Lane[] = [];
  #nextId = 0;
  #loaded = 0;
  #sending = 0;
  #stopped: boolean;
  #goneSince: number | undefined;
  #lastError: WebhookError | undefined;

  constructor(deps: DeliveryDeps, bot: Bot, settings: WebhookSettings) {
    this.#deps = deps;
    this.bot = bot;
    this.settings = settings;
    this.#client = new WebhookClient(settings, deps.clock);
    this.#stopped = false;
  }

  get lastError(): WebhookError | undefined {
    return this.#lastError;
  }

  /** The address that updates go to, once it is known. */
  get address(): string | undefined {
    return this.settings.ipAddress ?? this.#client.address;
  }

  /** Whether a delivery waits for its answer. */
  get isSending(): boolean {
    return this.#sending > 0;
  }

  /** Looks for updates that wait, which must be durable, and sends what can be sent. */
  wake(): void {
    if (this.#stopped) return;
    this.#load();
    while (this.#sending < this.settings.maxConnections) {
      const lane = this.#ready.shift();
      if (lane === undefined) break;
      this.#sendFirst(lane);
      this.#load();
    }
  }

  /** Ends it; what is under way counts as not delivered. */
  stop(): void {
    this.#stopped = true;
    this.#client.close();
  }

  #load(): void {
    const { world, clock } = this.#deps;
    const { queue } = this.bot;
    if (this.#loaded >= LOADED_MAX || this.#nextId >= queue.nextId) return;
    queue.expire(clock.now());
    while (this.#loaded < LOADED_MAX) {
      const [waiting] = queue.from(this.#nextId, 1);
      if (waiting === undefined) break;
      const { id, until } = waiting;
      this.#nextId = id + 1;
      const json = updateJson(world, this.bot, waiting);
      // Its record or its chat is gone.
      if (json === undefined) world.finish(this.bot, id);
      else this.#enter({ id, until, json });
    }
  }

  #enter(update: Loaded): void {
    const key = laneOf(JSON.parse(update.json) as Record<string, unknown>);
    this.#loaded += 1;
    const lane = this.#lanes.get(key);
    if (lane !== undefined) {
      lane.updates.push(update);
      return;
    }
    const fresh: Lane = { key, updates: [update], backoff: NO_BACKOFF };
    this.#lanes.set(key, fresh);
    this.#ready.push(fresh);
  }

  #sendFirst(lane: Lane): void {
    const [update] = lane.updates;
    if (update === undefined) return;
    if (this.bot.queue.get(update.id) === undefined || this.#deps.clock.now() > update.until) {
      this.#finishFirst(lane);
      return;
    }
    this.#sending += 1;
    this.#client
      .post(update.json)
      .then((outcome) => {
        this.#sending -= 1;
        if (this.#stopped) return;
        this.#settle(lane, update, outcome);
        this.wake();
      })
      .catch(this.#deps.onDefect);
  }

  #settle(lane: Lane, update: Loaded, outcome: WebhookOutcome): void {
    if ('error' in outcome) {
      this.#fail(lane, update, outcome.error, 0);
      return;
    }
    const { answer } = outcome;
    if (answer.status >= 200 && answer.status <= 299) {
      this.#goneSince = undefined;
      this.#finishFirst(lane);
      this.#deps.carryOut(this.bot, answer);
      return;
    }
    this.#fail(
      lane,
      update,
      `Wrong response from the webhook: ${answer.status} ${answer.reason}`.trimEnd(),
      answer.retryAfter,
    );
    this.#noteGone(answer.status);
  }

  #finishFirst(lane: Lane): void {
    const update = lane.updates.shift();
    if (update !== undefined) {
      this.#deps.world.finish(this.bot, update.id);
      this.#loaded -= 1;
    }
    lane.backoff = NO_BACKOFF;
    if (lane.updates.length === 0) this.#lanes.delete(lane.key);
    else this.#ready.push(lane);
  }

  #fail(lane: Lane, update: Loaded, message: string, retryAfter: number): void {
    const { clock, random } = this.#deps;
    const now = clock.now();
    this.#lastError = { at: now, message };
    this.#deps.onFailed(this.bot, message);
    const { waitS, backoff } = nextBackoff(lane.backoff, retryAfter, random());
    const waitMs = waitS * 1000;
    if (now + waitMs > update.until) {
      this.#finishFirst(lane);
      return;
    }
    lane.backoff = backoff;
    if (waitMs === 0) this.#ready.push(lane);
    else {
      clock.after(waitMs, () => {
        this.#ready.push(lane);
        this.wake();
      });
    }
  }

  #noteGone(status: number): void {
    if (status !== GONE) {
      this.#goneSince = undefined;
      return;
    }
    const { world, clock } = this.#deps;
    this.#goneSince ??= clock.now();
    if (clock.now() - this.#goneSince <= GONE_MS) return;
    const { webhook: _given, ...others } = this.bot.settings;
    world.configure(this.bot, others);
    this.stop();
  }
}
