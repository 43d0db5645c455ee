import { ApiError, api, MESSAGES_PAGE } from './api.js';
import type { Connection } from './live.js';
import type { WireChat, WireCommand, WireEvents, WireFlood, WireMessage, WirePerson, WireTold } from './wire.js';

const TOLD_MAX = 50;

/** One chat as the page knows it. `messages` ascend by id; undefined until they are asked for. */
export interface Chat {
  readonly info: WireChat;
  readonly messages: readonly WireMessage[] | undefined;
  /** Whether there may be messages before these. */
  readonly hasEarlier: boolean;
  readonly commands: readonly WireCommand[];
  readonly unread: number;
}

/**
 * All that the page knows, and who wants to hear when it changes. Values are replaced, never changed, so views can compare them. Views hear once a turn.
 * Operations that fail tell `onError` and leave everything as it was.
 */
export class Model {
  #person: WirePerson | undefined;
  #chats: readonly Chat[] = [];
  #openId: number | undefined;
  #told: readonly WireTold[] = [];
  #flood: WireFlood | undefined;
  #connection: Connection = 'connecting';
  readonly #views = new Set<() => void>();
  readonly #onError: (error: unknown) => void;
  #renders: boolean;
  #isLoading: boolean;
  /** Of each answer under way: the chat that was asked for, and what came live of it meanwhile. */
  readonly #meanwhile = new Set<Meanwhile>();

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
    this.#renders = false;
    this.#isLoading = false;
  }

  /** Who the user is; undefined until somebody is picked. */
  get person(): WirePerson | undefined {
    return this.#person;
  }

  /** The person's chats, those with the newest messages first. */
  get chats(): readonly Chat[] {
    return this.#chats;
  }

  /** The chat that is shown. */
  get open(): Chat | undefined {
    return this.#chats.find(({ info }) => info.id === this.#openId);
  }

  /** What bots were told, the oldest first. */
  get told(): readonly WireTold[] {
    return this.#told;
  }

  get flood(): WireFlood | undefined {
    return this.#flood;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** Has a view called now and after every change. */
  watch(view: () => void): void {
    this.#views.add(view);
    view();
  }

  /** Becomes another person, or nobody. */
  become(person: WirePerson | undefined): void {
    if (person?.id === this.#person?.id) return;
    this.#person = person;
    this.#chats = [];
    this.#touch();
  }

  /** Shows a chat, or none. */
  async show(id: number | undefined): Promise<void> {
    this.#openId = id;
    this.#change(id, (chat) => ({ ...chat, unread: 0 }));
    this.#touch();
    await this.#loadOpen();
  }

  /** Asks for everything that is shown. */
  async refresh(): Promise<void> {
    await this.#loadChats();
    await this.#loadOpen();
  }

  /** Asks for the messages before those that are known of the open chat; once at a time. */
  async loadEarlier(): Promise<void> {
    const person = this.#person;
    const chat = this.open;
    const first = chat?.messages?.[0];
    if (person === undefined || first === undefined || chat?.hasEarlier !== true || this.#isLoading) return;
    this.#isLoading = true;
    const earlier = await this.attempt(api.messages(chat.info.id, person.id, first.messageId));
    this.#isLoading = false;
    if (earlier === undefined || this.#person !== person) return;
    this.#change(chat.info.id, (now) => ({
      ...now,
      messages: [...earlier, ...(now.messages ?? []).filter(({ messageId }) => messageId >= first.messageId)],
      hasEarlier: earlier.length === MESSAGES_PAGE,
    }));
  }

  /** Takes an event of the live feed. */
  take<Name extends keyof WireEvents>(name: Name, data: WireEvents[Name]): void {
    const event = { name, data } as {
      [Each in keyof WireEvents]: { name: Each; data: WireEvents[Each] };
    }[keyof WireEvents];
    switch (event.name) {
      case 'hello':
        this.#told = event.data.told;
        this.#flood = event.data.flood;
        void this.refresh();
        break;
      case 'message':
        this.#takeMessage(event.data.chat, event.data.message);
        break;
      case 'deleted':
        this.#takeDeleted(event.data.chat, event.data.messageIds);
        break;
      case 'chats':
        void this.#learnChats();
        break;
      case 'commands':
        void this.#loadCommands();
        break;
      case 'told':
        this.#told = [...this.#told, ...event.data.entries].slice(-TOLD_MAX);
        break;
      case 'flood':
        this.#flood = event.data;
        break;
      case 'resync':
        void this.refresh();
        break;
      default:
        event satisfies never;
    }
    this.#touch();
  }

  setConnection(connection: Connection): void {
    this.#connection = connection;
    this.#touch();
  }

  /** Runs something that may fail; undefined when it has, and the user was told. */
  async attempt<Result>(work: Promise<Result>): Promise<Result | undefined> {
    try {
      return await work;
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }

  async #loadChats(): Promise<void> {
    const person = this.#person;
    if (person === undefined) return;
    let infos: WireChat[];
    try {
      infos = await api.chats(person.id);
    } catch (error) {
      // The person is gone: the world began anew.
      if (error instanceof ApiError && error.status === 400 && this.#person === person) this.become(undefined);
      else if (!(error instanceof ApiError && error.status === 0)) this.#onError(error);
      return;
    }
    if (this.#person !== person) return;
    const known = new Map(this.#chats.map((chat) => [chat.info.id, chat]));
    this.#chats = sorted(infos.map((info) => merged(known.get(info.id), info, info.id === this.#openId)));
    this.#touch();
  }

  /** Asks for the chats, and for the messages of the open one when it was opened before it was among them. */
  async #learnChats(): Promise<void> {
    await this.#loadChats();
    const chat = this.open;
    const isAsked = [...this.#meanwhile].some((meanwhile) => meanwhile.chat === chat?.info.id);
    if (chat !== undefined && chat.messages === undefined && !isAsked) await this.#loadOpen();
  }

  async #loadOpen(): Promise<void> {
    const person = this.#person;
    const chat = this.open;
    if (person === undefined || chat === undefined) return;
    const { id } = chat.info;
    const meanwhile: Meanwhile = { chat: id, changes: [] };
    this.#meanwhile.add(meanwhile);
    const found = await this.attempt(Promise.all([api.messages(id, person.id), api.commands(id, person.id)]));
    this.#meanwhile.delete(meanwhile);
    if (found === undefined || this.#person !== person) return;
    const [newest, commands] = found;
    this.#change(id, (now) => {
      const { messages, hasEarlier } = withNewest(now, newest);
      // What came live meanwhile may be newer than the answer.
      return {
        ...now,
        messages: meanwhile.changes.reduce((done, change) => change(done), messages),
        hasEarlier,
        commands,
      };
    });
  }

  async #loadCommands(): Promise<void> {
    const person = this.#person;
    const chat = this.open;
    if (person === undefined || chat === undefined) return;
    const commands = await this.attempt(api.commands(chat.info.id, person.id));
    if (commands !== undefined && this.#person === person) this.#change(chat.info.id, (now) => ({ ...now, commands }));
  }

  #takeMessage(id: number, message: WireMessage): void {
    if (!this.#chats.some(({ info }) => info.id === id)) {
      void this.#learnChats();
      return;
    }
    const isSeen = id === this.#openId && !document.hidden;
    this.#change(id, (chat) => {
      const isNew = message.messageId > (chat.info.last?.messageId ?? 0);
      const isCounted = isNew && !isSeen && message.from.id !== this.#person?.id;
      return {
        ...chat,
        unread: chat.unread + (isCounted ? 1 : 0),
        info: message.messageId >= (chat.info.last?.messageId ?? 0) ? { ...chat.info, last: message } : chat.info,
      };
    });
    this.#changeMessages(id, (messages) => withMessage(messages, message));
    this.#chats = sorted(this.#chats);
  }

  #takeDeleted(id: number, gone: readonly number[]): void {
    this.#changeMessages(id, (messages) => messages.filter(({ messageId }) => !gone.includes(messageId)));
    void this.#learnChats();
  }

  #changeMessages(id: number, change: MessagesChange): void {
    this.#change(id, (chat) => (chat.messages === undefined ? chat : { ...chat, messages: change(chat.messages) }));
    for (const { chat, changes } of this.#meanwhile) if (chat === id) changes.push(change);
  }

  #change(id: number | undefined, change: (chat: Chat) => Chat): void {
    this.#chats = this.#chats.map((chat) => (chat.info.id === id ? change(chat) : chat));
    this.#touch();
  }

  #touch(): void {
    if (this.#renders) return;
    this.#renders = true;
    queueMicrotask(() => {
      this.#renders = false;
      for (const view of this.#views) view();
    });
  }
}

type MessagesChange = (messages: readonly WireMessage[]) => readonly WireMessage[];

interface Meanwhile {
  readonly chat: number;
  readonly changes: MessagesChange[];
}

function merged(before: Chat | undefined, info: WireChat, isOpen: boolean): Chat {
  if (before === undefined) return { info, messages: undefined, hasEarlier: false, commands: [], unread: 0 };
  const missed = (info.last?.messageId ?? 0) > (before.info.last?.messageId ?? 0) && !isOpen;
  return { ...before, info, unread: before.unread + (missed ? 1 : 0) };
}

/** The newest messages as they were asked for, with the earlier ones that are known when the two meet. */
function withNewest(
  chat: Chat,
  newest: readonly WireMessage[],
): { messages: readonly WireMessage[]; hasEarlier: boolean } {
  const first = newest[0]?.messageId ?? 0;
  const known = chat.messages ?? [];
  const earlier = known.some(({ messageId }) => messageId === first)
    ? known.filter(({ messageId }) => messageId < first)
    : [];
  return earlier.length > 0
    ? { messages: [...earlier, ...newest], hasEarlier: chat.hasEarlier }
    : { messages: newest, hasEarlier: newest.length === MESSAGES_PAGE };
}

function withMessage(messages: readonly WireMessage[], message: WireMessage): WireMessage[] {
  const others = messages.filter(({ messageId }) => messageId !== message.messageId);
  const at = others.findIndex(({ messageId }) => messageId > message.messageId);
  return at < 0 ? [...others, message] : others.toSpliced(at, 0, message);
}

function sorted(chats: readonly Chat[]): Chat[] {
  return chats.toSorted((a, b) => (b.info.last?.date ?? 0) - (a.info.last?.date ?? 0));
}
