import type { Answer } from '../../src/delivery/outcome.js';
import type { CallOptions, TelegramClient } from '../../src/telegram/client.js';
import type { Host, Kernel } from './kernel.js';

/** The kinds of limits that were seen at Telegram. */
export type LimitKind = 'sliding' | 'bucket' | 'strict';

/** What goes wrong between a process and Telegram, as shares of the calls; times in ms. */
export interface TelegramWeather {
  latencyMs: number;
  /** Of the way there, beyond the latency, at most. */
  jitterMs: number;
  refused: number;
  requestLost: number;
  answerLost: number;
  error500: number;
  tooMany: number;
  /** The request is up to 4 s under way; or so long that its process has given it up or is dead. */
  slow: number;
  late: number;
}

/** One sendMessage of a process. */
export interface SentCall {
  readonly chatId: number;
  readonly text: string;
  readonly by: Host;
  readonly at: number;
  /** When it was begun by its process's wall clock, epoch ms. */
  readonly wall: number;
  /** What its process heard of it; undefined as long as it heard nothing. */
  heard: Answer | undefined;
  /** True once Telegram has taken the message. */
  accepted: boolean;
  /** What Telegram said, whether it was heard or not. */
  said: number | undefined;
}

/** What the checker hears of. */
export interface TelegramEvents {
  begun(call: SentCall): void;
  arrived(call: SentCall, status: number): void;
  ended(call: SentCall): void;
}

/** An update of a person, as getUpdates gives it. */
export interface PersonUpdate {
  readonly update_id: number;
  readonly [kind: string]: unknown;
}

/** The Telegram of one bot. */
export interface ModelTelegram {
  weather: TelegramWeather;
  limits: LimitKind | 'off';
  /** Until then every call ends with that status; getMe too unless `spares`. */
  outage: { until: number; status: number; spares: boolean };
  readonly blocked: Set<number>;
  /** Groups that became supergroups: the new ids. The old ones are refused with them. */
  readonly moved: Map<number, number>;
  /** 429s that its limits (not chance) have answered. */
  readonly limited: number;
  /** The highest offset that getUpdates has confirmed: what is below is gone here. */
  readonly confirmed: number;
  client(host: Host): TelegramClient;
  /** A person does something: getUpdates tells it. */
  arrive(update: Omit<PersonUpdate, 'update_id'>): number;
}

const RETRY_AFTER_S = 3;
/** A text is traced as far as that. */
const TRACED_UNITS = 24;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

const ok = (result: unknown): Answer => ({ kind: 'answer', status: 200, body: { ok: true, result } });
const refusal = (code: number, description: string, parameters?: object): Answer => ({
  kind: 'answer',
  status: code,
  body: { ok: false, error_code: code, description, ...(parameters === undefined ? {} : { parameters }) },
});
const failure = (beforeFirstByte: boolean, reason: string): Answer => ({ kind: 'failure', beforeFirstByte, reason });

/** Makes a Telegram with the rates that the bot is set to. Texts with `poison` are never taken (400); those that begin with `cursed` always end with 500. */
export function modelTelegram(
  kernel: Kernel,
  bot: string,
  rates: { readonly perSecond: number; readonly perChatSecond: number; readonly perGroupMinute: number },
  events: TelegramEvents,
): ModelTelegram {
  const { random } = kernel;
  const chats = new Map<number, number[]>();
  const takenAt: number[] = [];
  let frozenUntil = 0;
  let tokens = rates.perSecond;
  let tokensAt = 0;
  let messages = 0;
  let limited = 0;
  let lastUpdate = 100;
  let updates: PersonUpdate[] = [];
  let confirmed = 0;
  let poll: { wake(): void; isOpen(): boolean } | undefined;

  const within = (times: readonly number[], ms: number): number => times.filter((at) => at > kernel.now - ms).length;

  /** True when the limits refuse a call to that chat now. */
  function refuses(chatId: number): boolean {
    if (telegram.limits === 'off') return false;
    if (telegram.limits === 'strict' && kernel.now < frozenUntil) return true;
    const chat = chats.get(chatId) ?? [];
    if (chatId > 0 && rates.perChatSecond > 0 && within(chat, SECOND_MS) >= Math.max(1, rates.perChatSecond))
      return true;
    if (chatId < 0 && rates.perGroupMinute > 0 && within(chat, MINUTE_MS) >= rates.perGroupMinute) return true;
    if (rates.perSecond <= 0) return false;
    if (telegram.limits !== 'bucket') return within(takenAt, SECOND_MS) >= rates.perSecond;
    tokens = Math.min(rates.perSecond, tokens + ((kernel.now - tokensAt) * rates.perSecond) / SECOND_MS);
    tokensAt = kernel.now;
    return tokens < 1;
  }

  function take(call: SentCall): Answer {
    const { chatId, text } = call;
    if (kernel.now < telegram.outage.until) return refusal(telegram.outage.status, 'the whole bot');
    if (random.chance(telegram.weather.error500)) {
      kernel.fault('telegram: 500');
      return refusal(500, 'Internal Server Error');
    }
    if (random.chance(telegram.weather.tooMany)) {
      kernel.fault('telegram: 429');
      const seconds = random.chance(0.1) ? random.whole(11, 30) : random.whole(1, 5);
      return refusal(429, `Too Many Requests: retry after ${seconds}`, { retry_after: seconds });
    }
    if (refuses(chatId)) {
      limited += 1;
      // Strict: the whole bot stays shut for what the first 429 said; what comes meanwhile is refused and does not make it longer.
      if (telegram.limits === 'strict' && kernel.now >= frozenUntil)
        frozenUntil = kernel.now + RETRY_AFTER_S * SECOND_MS;
      const seconds = kernel.now < frozenUntil ? Math.ceil((frozenUntil - kernel.now) / SECOND_MS) : RETRY_AFTER_S;
      return refusal(429, `Too Many Requests: retry after ${seconds}`, { retry_after: seconds });
    }
    if (telegram.blocked.has(chatId)) return refusal(403, 'Forbidden: bot was blocked by the user');
    const to = telegram.moved.get(chatId);
    if (to !== undefined)
      return refusal(400, 'Bad Request: group chat was upgraded to a supergroup chat', { migrate_to_chat_id: to });
    if (text.includes('poison')) return refusal(400, "Bad Request: can't parse entities");
    if (text.startsWith('cursed')) return refusal(500, 'Internal Server Error');
    const chat = chats.get(chatId) ?? [];
    chat.push(kernel.now);
    chats.set(chatId, chat);
    takenAt.push(kernel.now);
    if (takenAt.length > 200) takenAt.splice(0, 100);
    tokens -= 1;
    messages += 1;
    call.accepted = true;
    return ok({ message_id: messages });
  }

  function getMe(): Answer {
    const { outage } = telegram;
    if (kernel.now < outage.until && !outage.spares) return refusal(outage.status, 'the whole bot');
    return ok({ id: Number(bot), is_bot: true, username: 'simulated_bot', first_name: 'Simulated' });
  }

  function getUpdates(
    payload: { offset?: number; limit: number; timeout: number },
    isOpen: () => boolean,
    answer: (a: Answer) => void,
  ): void {
    if (kernel.now < telegram.outage.until && !telegram.outage.spares) {
      answer(refusal(telegram.outage.status, 'the whole bot'));
      return;
    }
    if (payload.offset !== undefined) {
      const { offset } = payload;
      confirmed = Math.max(confirmed, offset);
      updates = updates.filter((one) => one.update_id >= offset);
    }
    if (poll?.isOpen() === true) {
      answer(refusal(409, 'Conflict: terminated by other getUpdates request'));
      return;
    }
    let open = true;
    const done = (): void => {
      if (!open) return;
      open = false;
      if (poll === own) poll = undefined;
      answer(ok(updates.slice(0, payload.limit)));
    };
    const own = { wake: done, isOpen };
    poll = own;
    if (updates.length > 0) done();
    else kernel.after(payload.timeout * SECOND_MS, done);
  }

  const telegram: ModelTelegram = {
    weather: {
      latencyMs: 20,
      jitterMs: 20,
      refused: 0,
      requestLost: 0,
      answerLost: 0,
      error500: 0,
      tooMany: 0,
      slow: 0,
      late: 0,
    },
    limits: 'sliding',
    outage: { until: 0, status: 500, spares: false },
    blocked: new Set(),
    moved: new Map(),
    get limited() {
      return limited;
    },
    get confirmed() {
      return confirmed;
    },
    client(host) {
      const flights = new Set<(answer: Answer) => void>();

      function call(method: string, payload: object, options: CallOptions = {}): Promise<Answer> {
        return new Promise((resolve, reject) => {
          const { weather } = telegram;
          const sent: SentCall | undefined =
            method === 'sendMessage'
              ? {
                  chatId: (payload as { chat_id: number }).chat_id,
                  text: (payload as { text: string }).text,
                  by: host,
                  at: kernel.now,
                  wall: kernel.clockOf(host).wallNow(),
                  heard: undefined,
                  accepted: false,
                  said: undefined,
                }
              : undefined;
          let over = false;
          const end = (answer: Answer): void => {
            if (over) return;
            over = true;
            flights.delete(end);
            options.signal?.removeEventListener('abort', abort);
            if (sent !== undefined) {
              sent.heard = answer;
              events.ended(sent);
            }
            resolve(answer);
          };
          flights.add(end);
          const abort = (): void => {
            if (over) return;
            over = true;
            flights.delete(end);
            reject(new DOMException('aborted', 'AbortError'));
          };
          options.signal?.addEventListener('abort', abort, { once: true });
          if (sent !== undefined) {
            kernel.trace(() => `send ${bot} ${sent.chatId} ${sent.text.slice(0, TRACED_UNITS)}`);
            events.begun(sent);
            if (random.chance(weather.refused)) {
              kernel.fault('telegram: connection refused');
              kernel.after(2, () => end(failure(true, 'ECONNREFUSED')), host);
              return;
            }
          }
          kernel.after(options.timeoutMs ?? 30_000, () => end(failure(false, 'timeout')), host);
          let there = weather.latencyMs / 2 + random.next() * weather.jitterMs;
          let cut = false;
          if (sent !== undefined && random.chance(weather.requestLost)) {
            kernel.fault('telegram: request lost');
            kernel.after(there + random.next() * 2_000, () => end(failure(false, 'ECONNRESET')), host);
            return;
          }
          if (sent !== undefined && random.chance(weather.slow)) {
            kernel.fault('telegram: slow request');
            there += random.next() * 4_000;
          }
          if (sent !== undefined && random.chance(weather.late)) {
            kernel.fault('telegram: arrives after its process gave it up');
            const given = random.next() * 3_000;
            kernel.after(given, () => end(failure(false, 'ECONNRESET')), host);
            there += given + random.next() * 20_000;
          }
          if (sent !== undefined && random.chance(weather.answerLost)) {
            kernel.fault('telegram: answer lost');
            cut = true;
          }
          const back = (answer: Answer): void => {
            const ms = weather.latencyMs / 2 + random.next() * weather.jitterMs;
            kernel.after(ms, () => end(cut ? failure(false, 'ECONNRESET') : answer), host);
          };
          // Not bound to the host: what is on the wire arrives, whatever becomes of the sender.
          kernel.after(there, () => {
            if (sent !== undefined) {
              const answer = take(sent);
              sent.said = answer.kind === 'answer' ? answer.status : 0;
              kernel.trace(() => `arrive ${bot} ${sent.chatId} ${sent.text.slice(0, TRACED_UNITS)} ${sent.said}`);
              events.arrived(sent, sent.said);
              back(answer);
            } else if (method === 'getUpdates') {
              if (host.dead || over) return;
              getUpdates(
                payload as { offset?: number; limit: number; timeout: number },
                () => !host.dead && !over,
                back,
              );
            } else back(method === 'getMe' ? getMe() : ok(true));
          });
        });
      }

      return {
        call,
        warm: () => Promise.resolve(),
        async destroy() {
          for (const end of [...flights]) end(failure(false, 'connections destroyed'));
        },
      };
    },
    arrive(update) {
      lastUpdate += 1;
      updates.push({ update_id: lastUpdate, ...update });
      poll?.wake();
      return lastUpdate;
    },
  };
  return telegram;
}
