import type { Lane, MessageClass } from '../delivery/lanes.js';
import type { Head } from '../delivery/packed.js';
import { cutText, PART_UNITS, type TextPart } from '../delivery/text/cut-text.js';
import type { BodyRow, BroadcastBody } from './models.js';
import type { PageLog } from './page-log.js';
import { type Store, StoreError } from './store.js';

/** One message as a caller hands it over, already checked. `dedupKey` is unique by bot and chat. */
export interface NewMessage {
  readonly chatId: number;
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2';
  /** How a text that is longer than a message is cut; found out here when it is not given. */
  readonly parts?: readonly TextPart[];
  readonly lane: Lane;
  readonly class: MessageClass;
  readonly dedupKey?: string;
}

/** One broadcast as a caller hands it over, already checked. */
export interface NewBroadcast extends BroadcastBody {
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2';
  /** As of a message. */
  readonly parts?: readonly TextPart[];
}

/** The Idempotency-Key of a request and the hash of its body. */
export interface Idempotency {
  readonly key: string;
  readonly bodyHash: string;
}

/**
 * The one way in for messages: what resolves is in the store (w: majority, j: true).
 * Each throws StoreError: PH_STORE_AWAY, PH_STORE_FULL, PH_TOO_MANY_WAITING (503), PH_IDEMPOTENCY_CONFLICT (409), PH_PAGE_TOO_LARGE (413).
 */
export interface Acceptance {
  /** All or none, in this order per chat and lane. */
  messages(bot: string, messages: readonly NewMessage[], idempotency?: Idempotency): Promise<{ ids: string[] }>;
  /** One body to many chats, all or none. */
  chatIds(
    bot: string,
    body: Omit<NewMessage, 'chatId' | 'dedupKey'>,
    chatIds: readonly number[],
    dedupKey?: string,
    idempotency?: Idempotency,
  ): Promise<{ ids: string[] }>;
  broadcast(bot: string, broadcast: NewBroadcast, idempotency?: Idempotency): Promise<{ id: string }>;
  /** What a handler collected for one update: one page, once, whoever runs the update again. */
  outputs(bot: string, updateId: number, messages: readonly NewMessage[]): Promise<void>;
  /** Messages of dead letters once more, in this order, each once under its key, whoever asks again: the id of its one delivery, or why it was not taken. */
  replays(bot: string, replays: readonly Replay[]): Promise<PromiseSettledResult<{ id: string }>[]>;
}

/** A dead letter's message, with the key that names the letter: `r:<dead letter>:<try>`. */
export interface Replay {
  readonly message: NewMessage;
  readonly key: string;
}

/** Default of how many messages by chat id may wait per bot before acceptance answers 503. */
export const MAX_WAITING = 1_000_000;
const WAITING_LOOK_MS = 1_000;

/** Makes the way in. `maxWaiting` bounds what waits per bot (as the bot's owner publishes it). */
export function acceptance(store: Store, log: PageLog, clock: { now(): number }, maxWaiting = MAX_WAITING): Acceptance {
  const looks = new Map<string, { at: number; waiting: number }>();

  async function checkRoom(bot: string): Promise<void> {
    let look = looks.get(bot);
    if (look === undefined || clock.now() - look.at >= WAITING_LOOK_MS) {
      const row = await store.models.Owners.collection
        .findOne({ bot, part: 'send' }, { projection: { waiting: 1 } })
        .catch(() => null); // the append finds out whether the store is away
      look = { at: clock.now(), waiting: Number(row?.waiting ?? 0) };
      looks.set(bot, look);
    }
    if (look.waiting > maxWaiting) {
      throw new StoreError('PH_TOO_MANY_WAITING', `more than ${maxWaiting} messages wait to be sent`, 30);
    }
  }

  async function append(
    bot: string,
    messages: readonly NewMessage[],
    more: { idempotency?: Idempotency; onceKey?: string },
  ) {
    const bodies: BodyRow[] = [];
    const known = new Map<string, number>();
    const heads: Head[] = messages.map((message) => {
      const same = `${message.parseMode ?? ''}\n${message.text}`;
      let body = known.get(same);
      if (body === undefined) {
        body = bodies.push(bodyOf(message)) - 1;
        known.set(same, body);
      }
      return { chatId: message.chatId, body, lane: message.lane, class: message.class };
    });
    return log.append(bot, {
      heads,
      bodies,
      ...(messages.some((message) => message.dedupKey !== undefined)
        ? { dedupKeys: messages.map((message) => message.dedupKey) }
        : {}),
      ...more,
    });
  }

  return {
    async messages(bot, messages, idempotency) {
      await checkRoom(bot);
      return append(bot, messages, idempotency === undefined ? {} : { idempotency });
    },
    async chatIds(bot, body, chatIds, dedupKey, idempotency) {
      await checkRoom(bot);
      return log.append(bot, {
        heads: chatIds.map((chatId) => ({ chatId, body: 0, lane: body.lane, class: body.class })),
        bodies: [bodyOf(body)],
        ...(dedupKey === undefined ? {} : { dedupKeys: chatIds.map(() => dedupKey) }),
        ...(idempotency === undefined ? {} : { idempotency }),
      });
    },
    async broadcast(bot, { text, parseMode, parts, ...broadcast }, idempotency) {
      const { ids } = await log.append(bot, {
        heads: [],
        bodies: [bodyOf({ text, parseMode, parts })],
        broadcast,
        ...(idempotency === undefined ? {} : { idempotency }),
      });
      return { id: ids[0] ?? '' };
    },
    async outputs(bot, updateId, messages) {
      if (messages.length > 0) await append(bot, messages, { onceKey: `u:${updateId}` });
    },
    async replays(bot, replays) {
      await checkRoom(bot);
      return Promise.allSettled(
        replays.map(async ({ message, key }) => ({
          id: (await append(bot, [message], { onceKey: key })).ids[0] ?? '',
        })),
      );
    },
  };
}

/** Throws PH_TEXT_MALFORMED or PH_TEXT_UNSPLITTABLE for a long text that nobody has cut before and that cannot be cut. */
function bodyOf({ text, parseMode, parts }: BodyInput): BodyRow {
  const body = { text, ...(parseMode === undefined ? {} : { parseMode }) };
  if (parts !== undefined) return { ...body, parts };
  const cut = text.length > PART_UNITS ? cutText(text, parseMode) : undefined;
  if (cut?.kind === 'refused') throw new StoreError(cut.code, cut.reason);
  return cut?.kind === 'parts' ? { ...body, parts: cut.parts } : body;
}

interface BodyInput {
  readonly text: string;
  readonly parseMode?: 'HTML' | 'MarkdownV2' | undefined;
  readonly parts?: readonly TextPart[] | undefined;
}
