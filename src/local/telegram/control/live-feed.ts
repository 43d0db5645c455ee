import { updateJson } from '../bot-api/update-json.js';
import type { LocalClock } from '../clock.js';
import type { AnswerStream } from '../http/answer-stream.js';
import type { AnswerPlace, Exchange } from '../http/listener.js';
import type { WireEvents, WireFlood } from '../page/browser/wire.js';
import type { Bot } from '../world/bot.js';
import type { ChatEvent } from '../world/chat-events.js';
import { isPresent, standing } from '../world/chats.js';
import type { Place } from '../world/place.js';
import type { JournalRecord } from '../world/record.js';
import type { World, WorldObserver } from '../world/world.js';
import { BotLog } from './bot-log.js';
import { messageSeen } from './message-seen.js';

const HEARTBEAT_MS = 15_000;
const FLOOD_MS = 500;
/** Beyond so many messages in one turn the pages are told to ask for everything instead. */
const MESSAGES_MAX = 100;
/** Groups whose limits are told of at most. */
const GROUPS_MAX = 50;

/** One open page. */
interface Tab {
  readonly stream: AnswerStream;
  readonly person: number;
  /** Whether something had to be left out, since the page did not read. */
  behind: boolean;
}

/**
 * What happens in the world, told to the open chat pages as Server-Sent Events (`WireEvents`). Changes are gathered while a turn goes on and leave when
 * they are durable. A page that does not keep up loses events and is then told to ask for everything. Costs nothing while no page is open. Never throws.
 */
export class LiveFeed implements WorldObserver {
  readonly #world: World;
  readonly #clock: LocalClock;
  readonly #log = new BotLog();
  readonly #tabs = new Map<number, Set<Tab>>();
  /** Messages that are new, changed or gone: where they stand and their ids, each once. */
  #messages = new Map<string, { readonly place: Place; readonly id: number }>();
  /** The people whose chats changed. */
  #chats = new Set<number>();
  #commands: boolean;
  #resync: boolean;
  #flood = '';
  #stopTimers: () => void = () => undefined;

  constructor(world: World, clock: LocalClock) {
    this.#world = world;
    this.#clock = clock;
    this.#commands = false;
    this.#resync = false;
  }

  /** Answers a request with the events that concern a person, until the connection closes. */
  open(exchange: Exchange, person: number): void {
    const stream = exchange.stream(
      'text/event-stream',
      'Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n',
    );
    if (stream === undefined) return;
    const tab: Tab = { stream, person, behind: false };
    if (this.#tabs.size === 0) this.#begin();
    const tabs = this.#tabs.get(person) ?? new Set();
    this.#tabs.set(person, tabs.add(tab));
    stream.onClosed = () => this.#drop(tab);
    stream.onDrained = () => {
      if (tab.behind && stream.write(eventText('resync', {}))) tab.behind = false;
    };
    stream.write('retry: 1000\n\n');
    send([tab], 'hello', { told: this.#log.entries, flood: this.#floodNow() });
  }

  /** Notes a call of a bot and, later, its answer. */
  called(bot: Bot, method: string, args: Readonly<Record<string, unknown>>, exchange: AnswerPlace): void {
    if (this.#tabs.size > 0) this.#log.noteCall(() => this.#clock.now(), bot, method, args, exchange);
  }

  /** Notes that a bot's webhook did not take an update. */
  webhookFailed(bot: Bot, message: string): void {
    if (this.#tabs.size > 0) this.#log.noteWebhook(this.#clock.now(), bot, message);
  }

  queued(bot: Bot, updateId: number, offset: number): void {
    this.#log.noteUpdate(this.#clock.now(), bot, () => updateJson(this.#world, bot, { id: updateId, offset }));
  }

  changed(record: JournalRecord): void {
    switch (record[0]) {
      case 's':
      case 'm': {
        const bot = this.#world.state.bots.get(record[1]);
        if (bot !== undefined && this.#tabs.has(record[2])) this.#noteMessage({ bot, id: record[2] }, record[3]);
        break;
      }
      case 'g':
        for (const event of record[2]) this.#noteEvent(event);
        break;
      case 'k':
        if (this.#tabs.has(record[2])) this.#chats.add(record[2]);
        break;
      case 'b':
        for (const person of this.#tabs.keys()) this.#chats.add(person);
        break;
      case 'c':
        this.#commands = true;
        break;
      case 'r':
        this.#resync = true;
        break;
      default:
    }
  }

  /** Sends what was gathered: to be called at a turn's end, when it is durable. */
  publish(): void {
    if (this.#tabs.size === 0) return;
    const entries = this.#log.takeFresh();
    const everyone = [...this.#tabs.values()].flatMap((tabs) => [...tabs]);
    if (this.#resync) send(everyone, 'resync', {});
    else this.#publishChanges();
    if (this.#commands) send(everyone, 'commands', {});
    if (entries.length > 0) send(everyone, 'told', { entries });
    this.#forget();
  }

  #forget(): void {
    this.#messages = new Map();
    this.#chats = new Set();
    this.#commands = false;
    this.#resync = false;
  }

  #publishChanges(): void {
    for (const { place, id } of this.#messages.values()) {
      const found = this.#world.messages.find(place, id);
      const chat = place.chat === undefined ? place.bot.making.id : place.chat.id;
      const tabs = this.#tabsAt(place);
      if (found === undefined) send(tabs, 'deleted', { chat, messageIds: [id] });
      else send(tabs, 'message', { chat, message: messageSeen(this.#world, place, found) });
    }
    for (const person of this.#chats) send(this.#tabs.get(person) ?? [], 'chats', {});
  }

  /** The pages of those who see what stands in a place. */
  #tabsAt({ chat, id }: Place): Tab[] {
    if (chat === undefined) return [...(this.#tabs.get(id) ?? [])];
    const now = this.#clock.now();
    return [...this.#tabs].flatMap(([person, tabs]) => (isPresent(standing(chat, person, now)) ? [...tabs] : []));
  }

  #noteEvent(event: ChatEvent): void {
    switch (event.kind) {
      case 'written':
      case 'edited':
        this.#noteMessageOf(event.message, event.message.id);
        break;
      case 'deleted':
        for (const [id] of event.messages) this.#noteMessageOf(event, id);
        break;
      case 'pinned':
        break;
      default:
        // Who is in which chat, or what it is called: rare, so all pages look.
        for (const person of this.#tabs.keys()) this.#chats.add(person);
    }
  }

  #noteMessageOf(event: { readonly chat: number; readonly bot?: number }, id: number): void {
    const chat = this.#world.state.chats.byId.get(event.chat);
    const bot = this.#world.state.bots.get(event.bot ?? 0);
    if (chat !== undefined) this.#noteMessage({ chat, id: chat.id }, id);
    else if (bot !== undefined && this.#tabs.has(event.chat)) this.#noteMessage({ bot, id: event.chat }, id);
  }

  #noteMessage(place: Place, id: number): void {
    if (this.#messages.size >= MESSAGES_MAX) this.#resync = true;
    else this.#messages.set(`${place.bot?.making.id ?? ''} ${place.id} ${id}`, { place, id });
  }

  #begin(): void {
    this.#world.observer = this;
    const stopBeat = this.#every(HEARTBEAT_MS, () => {
      for (const tabs of this.#tabs.values()) for (const { stream } of tabs) stream.write(': \n\n');
    });
    const stopFlood = this.#every(FLOOD_MS, () => {
      const flood = this.#floodNow();
      const text = JSON.stringify(flood);
      if (text === this.#flood) return;
      this.#flood = text;
      for (const tabs of this.#tabs.values()) send(tabs, 'flood', flood);
    });
    this.#stopTimers = () => {
      stopBeat();
      stopFlood();
    };
  }

  #every(ms: number, run: () => void): () => void {
    let cancel = this.#clock.after(ms, again);
    const self = this;
    function again(): void {
      run();
      cancel = self.#clock.after(ms, again);
    }
    return () => cancel();
  }

  #drop(tab: Tab): void {
    const tabs = this.#tabs.get(tab.person);
    tabs?.delete(tab);
    if (tabs?.size === 0) this.#tabs.delete(tab.person);
    if (this.#tabs.size > 0) return;
    this.#world.observer = undefined;
    this.#stopTimers();
    this.#forget();
  }

  #groupsNow(now: number): WireFlood['groups'] {
    const found: { chat: number; botId: number; inMinute: number }[] = [];
    for (const { id, paces } of this.#world.state.chats.byId.values()) {
      for (const [botId, { taken, periodMs }] of paces) {
        const inMinute = taken.filter((at) => now - at < periodMs).length;
        if (inMinute > 0 && found.length < GROUPS_MAX) found.push({ chat: id, botId, inMinute });
      }
    }
    return found;
  }

  #floodNow(): WireFlood {
    const { counters, faults } = this.#world.state;
    const now = this.#clock.now();
    const last = this.#log.lastFlood;
    return {
      limits: faults.limits,
      bots: this.#world
        .bots()
        .map(({ making, second }) => ({ botId: making.id, inSecond: second.count(now) }))
        .filter(({ inSecond }) => inSecond > 0),
      groups: this.#groupsNow(now),
      accepted: counters.accepted,
      tooMany: counters.tooMany,
      blocked: counters.blocked,
      ...(last !== undefined && { last }),
    };
  }
}

function send<Name extends keyof WireEvents>(tabs: Iterable<Tab>, name: Name, data: WireEvents[Name]): void {
  const text = eventText(name, data);
  for (const tab of tabs) if (!tab.behind && !tab.stream.write(text)) tab.behind = true;
}

function eventText<Name extends keyof WireEvents>(name: Name, data: WireEvents[Name]): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
