import { botActor } from '../../src/actors/bot.js';
import { ingressActor } from '../../src/actors/ingress.js';
import type { IngressStatus } from '../../src/actors/receive-lease.js';
import { type ActorSystem, createActorSystem } from '../../src/actors/runtime.js';
import { supervisor, worker } from '../../src/actors/supervision.js';
import type { Answer } from '../../src/delivery/outcome.js';
import type { Feature } from '../../src/feature.js';
import { subscribers as subscribersFeature } from '../../src/features/subscribers/index.js';
import type { RawUpdate } from '../../src/ingress/poll-answer.js';
import { type ChatFacts, factsOf } from '../../src/ingress/update-facts.js';
import { silentLog } from '../../src/log.js';
import type { NewMessage } from '../../src/store/acceptance.js';
import type { Inbox, QueuedUpdate } from '../../src/store/inbox.js';
import type { HoldingEvents, LeaseGrant } from '../../src/store/lease-keeper.js';
import type { Subscriber, Subscribers } from '../../src/store/subscribers.js';
import { type FakeClock, fakeClock, settle } from './fake-clock.js';

/** A row of the inbox as the fake keeps it. */
interface FakeRow extends QueuedUpdate {
  state: 'queued' | 'settled' | 'dead';
  tries: number;
  crashes: number;
}

/** The two actors of receiving on fakes: a Telegram that keeps what is not confirmed, a store that can be away, a lease that can be given and taken. */
export interface ReceivingWorld {
  readonly clock: FakeClock;
  readonly system: ActorSystem;
  /** What happened, in order: `insert 1,2`, `getUpdates 3`, `handling 1`, `mark 7 ok`, `outputs 1`, `settle 1`, `bury 1` … */
  readonly events: string[];
  readonly rows: Map<number, FakeRow>;
  /** Pages of the outbox by update. */
  readonly pages: Map<number, readonly NewMessage[]>;
  readonly marks: Map<number, ChatFacts>;
  readonly people: Map<number, Subscriber>;
  readonly deadLetters: Map<number, { reason: string; attempts: number }>;
  readonly statuses: IngressStatus[];
  readonly published: { handling: readonly number[] };
  readonly refused: string[];
  readonly released: () => number;
  /** Rejects writes and reads of the store whose event matches. */
  away: RegExp | undefined;
  /** With what it rejects. */
  awayAs: Error;
  /** False: the beats of the lease are late. */
  mayCall: boolean;
  /** Answers that Telegram gives to the next calls of a method instead of its own. */
  readonly answers: Map<string, Answer[]>;
  readonly polls: () => number;
  arrive(...updates: RawUpdate[]): void;
  /** Forgets what is confirmed, so that Telegram sends it again. */
  repeat(...updates: RawUpdate[]): void;
  start(grant?: Partial<LeaseGrant>): Promise<void>;
  grant(grant?: Partial<LeaseGrant>): void;
  lose(): void;
}

/** A text message in a private chat, with the entities of a Telegram client. */
export function text(updateId: number, chatId: number, words: string, more: object = {}): RawUpdate {
  const command = /^\/\S+/.exec(words)?.[0];
  return {
    update_id: updateId,
    message: {
      message_id: updateId,
      date: 0,
      from: { id: Math.abs(chatId), is_bot: false, first_name: 'Ada' },
      chat: { id: chatId, type: chatId > 0 ? 'private' : 'group', first_name: 'Ada' },
      text: words,
      ...(command === undefined ? {} : { entities: [{ type: 'bot_command', offset: 0, length: command.length }] }),
      ...more,
    },
  };
}

/** Makes the world; nothing runs before `start`. */
export function receivingWorld(features: readonly Feature[] = [subscribersFeature], parallel = 32): ReceivingWorld {
  const clock = fakeClock();
  const events: string[] = [];
  const rows = new Map<number, FakeRow>();
  const pages = new Map<number, readonly NewMessage[]>();
  const marks = new Map<number, ChatFacts>();
  const people = new Map<number, Subscriber>();
  const deadLetters = new Map<number, { reason: string; attempts: number }>();
  const statuses: IngressStatus[] = [];
  const refused: string[] = [];
  const answers = new Map<string, Answer[]>();
  const published: { handling: readonly number[] } = { handling: [] };
  let atTelegram: RawUpdate[] = [];
  let poll: { wake(): void } | undefined;
  let polls = 0;
  let released = 0;
  let held: { events: HoldingEvents; grant: LeaseGrant | undefined } | undefined;

  const stored = async (event: string): Promise<void> => {
    await settle(1);
    if (world.away?.test(event)) throw world.awayAs;
    events.push(event);
  };
  const queued = (): FakeRow[] =>
    [...rows.values()].filter((row) => row.state === 'queued').sort((a, b) => a.updateId - b.updateId);

  const inbox: Inbox = {
    batch: (updates) => ({
      async write() {
        await stored(`insert ${updates.map((one) => one.update_id).join()}`);
        const fresh = updates.filter((one) => !rows.has(one.update_id));
        for (const body of fresh) {
          const updateId = body.update_id;
          const at = new Date(clock.wallNow());
          rows.set(updateId, {
            updateId,
            chat: factsOf(body).orderKey,
            body,
            tries: 0,
            crashes: 0,
            at,
            state: 'queued',
          });
        }
        return fresh.flatMap((one) => rows.get(one.update_id) ?? []);
      },
    }),
    async unsettled(after, limit) {
      await stored(`backlog`);
      return queued()
        .filter((row) => row.updateId > after)
        .slice(0, limit)
        .map((row) => ({ ...row }));
    },
    async find(ids) {
      await stored(`suspects ${ids.join()}`);
      return queued()
        .filter((row) => ids.includes(row.updateId))
        .map((row) => ({ ...row }));
    },
    async recordCrashes(figures) {
      await stored(`crashes ${figures.map((one) => `${one.updateId}=${one.crashes}`).join()}`);
      for (const { updateId, crashes } of figures) Object.assign(rows.get(updateId) ?? {}, { crashes });
    },
    async replayed() {
      return queued().filter((row) => row.replays !== undefined);
    },
    async recordTries(updateId, tries) {
      await stored(`tries ${updateId}=${tries}`);
      Object.assign(rows.get(updateId) ?? {}, { tries });
    },
    async settle(updateId) {
      await stored(`settle ${updateId}`);
      Object.assign(rows.get(updateId) ?? {}, { state: 'settled' });
    },
    async bury({ updateId }, reason, attempts) {
      await stored(`bury ${updateId}`);
      if (!deadLetters.has(updateId)) deadLetters.set(updateId, { reason, attempts });
      Object.assign(rows.get(updateId) ?? {}, { state: 'dead' });
    },
  };

  const subscribers: Subscribers = {
    async mark(chat) {
      await stored(`mark ${chat.chatId} ${chat.reach}`);
      marks.set(chat.chatId, chat);
    },
    async subscribe(chatId, subscription, { updateId, at }) {
      await stored(`subscribe ${chatId} ${subscription} by ${updateId}`);
      if (people.get(chatId)?.subscription !== subscription) people.set(chatId, { chatId, subscription, since: at });
    },
    async move({ chatId, to }) {
      await stored(`move ${chatId} to ${to}`);
    },
    async find(chatId) {
      await stored(`find ${chatId}`);
      return people.get(chatId);
    },
  };

  const ok = (result: unknown): Answer => ({ kind: 'answer', status: 200, body: { ok: true, result } });

  function longPoll(
    payload: { offset?: number; timeout: number; limit: number },
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const { offset } = payload;
    if (offset !== undefined) atTelegram = atTelegram.filter((one) => one.update_id >= offset);
    return new Promise((resolve, reject) => {
      const answer = () => {
        cancel();
        poll = undefined;
        resolve(ok(atTelegram.slice(0, payload.limit)));
      };
      const cancel = clock.setTimer(payload.timeout * 1_000, answer);
      poll = { wake: answer };
      signal?.addEventListener('abort', () => {
        cancel();
        poll = undefined;
        reject(new DOMException('aborted', 'AbortError'));
      });
      if (atTelegram.length > 0) answer();
    });
  }

  const client = {
    async call(method: string, payload: object, options?: { signal?: AbortSignal }): Promise<Answer> {
      const { offset } = payload as { offset?: number };
      events.push(offset === undefined ? method : `${method} ${offset}`);
      const given = answers.get(method)?.shift();
      if (given !== undefined) return given;
      if (method === 'getUpdates') {
        polls += 1;
        try {
          return await longPoll(payload as { offset?: number; timeout: number; limit: number }, options?.signal);
        } finally {
          polls -= 1;
        }
      }
      return ok(method === 'getMe' ? { id: 1, is_bot: true, username: 'test_bot', first_name: 'Test' } : true);
    },
  };

  const keeper = {
    hold(_bot: string, _part: string, given: HoldingEvents) {
      const own: typeof held & object = { events: given, grant: undefined };
      held = own;
      return {
        get grant() {
          return own.grant;
        },
        holder: undefined,
        mayCall: () => own.grant !== undefined && world.mayCall,
        mustDestroy: () => false,
        publish(fields: { handling?: readonly number[] }) {
          published.handling = fields.handling ?? published.handling;
        },
        async publishNow(fields: { handling?: readonly number[] }) {
          await stored(`handling ${fields.handling?.join()}`);
          published.handling = fields.handling ?? published.handling;
        },
        async release() {
          released += 1;
          own.grant = undefined;
        },
      };
    },
  };

  const system = createActorSystem({ clock, random: () => 0.5, log: silentLog });
  const deps = {
    bot: '1',
    client,
    inbox,
    subscribers,
    features,
    acceptance: {
      async outputs(_bot: string, updateId: number, messages: readonly NewMessage[]) {
        await stored(`outputs ${updateId}`);
        if (!pages.has(updateId)) pages.set(updateId, messages);
      },
    },
    status: { report: (status: IngressStatus) => statuses.push(status) },
    onUnauthorized: (description: string) => refused.push(description),
    parallel,
  };

  const world: ReceivingWorld = {
    clock,
    system,
    events,
    rows,
    pages,
    marks,
    people,
    deadLetters,
    statuses,
    published,
    refused,
    released: () => released,
    away: undefined,
    awayAs: Object.assign(new Error('no server'), { name: 'MongoNetworkError' }),
    mayCall: true,
    answers,
    polls: () => polls,
    arrive(...updates) {
      atTelegram.push(...updates);
      poll?.wake();
    },
    repeat(...updates) {
      atTelegram.unshift(...updates);
      poll?.wake();
    },
    async start(grant) {
      const children = [worker(ingressActor({ ...deps, keeper })), worker(botActor(deps))];
      await system.start(supervisor({ name: 'bot:1', strategy: 'rest-for-one', children }));
      world.grant(grant);
      await settle();
    },
    grant(grant = {}) {
      if (held === undefined) return;
      held.grant = { bot: '1', part: 'receive', epoch: 1, begun: [], handling: [], ...grant };
      held.events.granted(held.grant);
    },
    lose() {
      if (held === undefined) return;
      held.grant = undefined;
      held.events.lost('another process owns the part');
    },
  };
  return world;
}
