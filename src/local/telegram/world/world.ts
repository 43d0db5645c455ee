import { join } from 'node:path';
import { FileStore } from '../files/file-store.js';
import type { StoredFile } from '../files/stored-file.js';
import type { Faults } from '../limits/faults.js';
import type { VirtualTime } from '../virtual-clock.js';
import { noteAccepted } from './acceptance.js';
import { applyChatEvent } from './apply-chat-event.js';
import { audience } from './audience.js';
import { type Bot, type BotMaking, type BotSettings, newBot, wants } from './bot.js';
import { type CallbackQuery, QUERY_LIFE_MS } from './callback-queries.js';
import type { ChatEvent, ChatRecord } from './chat-events.js';
import { newCounters } from './counters.js';
import type { Journal } from './journal.js';
import { Messages } from './messages.js';
import { FIRST_PERSON_ID, type PeopleRange } from './people.js';
import { type JournalRecord, type MessageExtra, readRecord } from './record.js';
import { readSnapshots, writeSnapshot } from './snapshot.js';
import { adoptWorld, isReadable, packWorld } from './world-snapshot.js';
import { addBot, newState, resetState, type WorldState } from './world-state.js';

/** Who hears of what happens in a world, each thing once it is applied and before it is durable. */
export interface WorldObserver {
  changed(record: JournalRecord): void;
  /** A bot got an update, made of the record at an offset. */
  queued(bot: Bot, updateId: number, offset: number): void;
}

/** How long an update waits to be fetched. */
const UPDATE_LIFE_MS = 24 * 3600 * 1000;

/**
 * The world: its state in memory, every change appended to the journal before anyone hears of it. Each operation stages its record and
 * changes the state; the journal's `flush`, once a turn, makes it last. A world read back equals the one that was flushed.
 */
export class World {
  readonly state: WorldState = newState();
  readonly messages: Messages;
  /** Set only while somebody listens: nobody pays for it else. */
  observer: WorldObserver | undefined;
  readonly #dir: string;
  readonly #journal: Journal;
  readonly #freshFor = new Set<Bot>();
  readonly #fileBytes: FileStore;
  /** Hashes of bytes that no file has any more, to be given up once that is durable. */
  readonly #unused = new Set<string>();
  #countersChanged: boolean;
  #snapshotAt = 0;

  private constructor(dir: string, journal: Journal) {
    this.#dir = dir;
    this.#journal = journal;
    this.messages = new Messages(journal);
    this.#fileBytes = new FileStore(join(dir, 'files'));
    this.#countersChanged = false;
  }

  /** Reads the world that a directory keeps; damaged lines are passed over and told to `log`. Throws what the file system throws. */
  static open(dir: string, journal: Journal, log: (line: string) => void): World {
    const world = new World(dir, journal);
    for (const snapshot of readSnapshots(dir)) {
      if (snapshot.offset > journal.end || !isReadable(snapshot)) continue;
      adoptWorld(world.state, snapshot);
      world.#snapshotAt = snapshot.offset;
      break;
    }
    journal.replay(world.#snapshotAt, (line, offset) => {
      try {
        world.#apply(readRecord(line), offset);
      } catch (error) {
        log(`local telegram: a damaged record at ${offset} was passed over: ${String(error)}`);
      }
    });
    world.#freshFor.clear();
    world.#unused.clear();
    world.#pruneFiles();
    return world;
  }

  /** Bots in the order of their making, the made-up one first. */
  bots(): Bot[] {
    return [...this.state.bots.values()].sort(
      (a, b) => Number(b.making.first) - Number(a.making.first) || a.making.id - b.making.id,
    );
  }

  makeBot(making: BotMaking): Bot {
    this.#record(['b', making]);
    return this.#botOf(making.id);
  }

  makePeople(range: PeopleRange): void {
    this.#record(['p', range]);
  }

  /** A person deletes the account: nobody can write to him any more, nor he to anyone. */
  deactivate(person: number): void {
    this.#record(['x', person]);
  }

  configure(bot: Bot, settings: BotSettings): void {
    this.#record(['c', bot.making.id, settings]);
  }

  /** Forgets a bot's updates below an id. */
  confirm(bot: Bot, id: number): void {
    if (id > bot.queue.firstId && bot.queue.length > 0) this.#record(['a', bot.making.id, id]);
  }

  /** A person's press of a button of a bot's message; returns the id of the callback query. */
  press(bot: Bot, press: Omit<CallbackQuery, 'id'>, now: number): string {
    const id = String(BigInt(press.from) * 2n ** 32n + BigInt(this.state.nextQuery));
    const update = wants(bot, 'callback_query') ? bot.queue.nextId : 0;
    this.#record(['q', bot.making.id, roundMs(now), { id, ...press }, update]);
    return id;
  }

  /** A bot answers a callback query. */
  answerQuery(bot: Bot, id: string): void {
    this.#record(['w', bot.making.id, id]);
  }

  /** Takes one update of a bot out of those that wait: it was delivered, or never will be. */
  finish(bot: Bot, id: number): void {
    if (bot.queue.get(id) !== undefined) this.#record(['u', bot.making.id, id]);
  }

  setFaults(faults: Faults): void {
    this.#record(['f', faults]);
  }

  setTime(time: VirtualTime): void {
    this.#record(['t', time]);
  }

  reset(withWorld: boolean): void {
    this.#record(['r', withWorld]);
    if (withWorld && this.#journal.flush()) {
      this.checkpoint();
      this.#pruneFiles();
    }
  }

  /** Keeps a file, whose bytes are written at once; false when the disk refuses them. */
  keepFile(file: StoredFile, bytes: Buffer): boolean {
    if (!this.#fileBytes.write(file.hash, bytes)) return false;
    if (this.state.files.find(file.unique) === undefined) this.#record(['e', file]);
    return true;
  }

  /** The file with that `file_unique_id`, if it and its bytes are kept still. */
  findFile(unique: string): StoredFile | undefined {
    const file = this.state.files.find(unique);
    return file !== undefined && this.#fileBytes.has(file.hash) ? file : undefined;
  }

  /** Where the bytes of a file lie. */
  pathOfFile({ hash }: StoredFile): string {
    return this.#fileBytes.pathOf(hash);
  }

  /** Marks the counters as changed by hand, so that the turn's end writes them. */
  touchCounters(): void {
    this.#countersChanged = true;
    this.#journal.wake();
  }

  /** Blocks or unblocks; returns whether that changed anything. */
  setBlocked(bot: Bot, person: number, blocked: boolean, now: number): boolean {
    if (bot.dialogs.blocked(person - FIRST_PERSON_ID) === blocked) return false;
    const update = wants(bot, 'my_chat_member') ? bot.queue.nextId : 0;
    this.#record(['k', bot.making.id, person, roundMs(now), blocked ? 1 : 0, update]);
    return true;
  }

  /** A person's message to a bot; returns its id. */
  write(bot: Bot, person: number, text: string, extra: MessageExtra, now: number): number {
    const index = person - FIRST_PERSON_ID;
    const id = bot.nextMessageId;
    const update = wants(bot, 'message') ? bot.queue.nextId : 0;
    const before = bot.dialogs.newest(index);
    this.#record(['m', bot.making.id, person, id, roundMs(now), before, text, extra, update]);
    return id;
  }

  /** A bot's message that is accepted; returns its id. `textJson` and `extraJson` (an object, or '') are given as JSON, for speed. */
  accept(
    bot: Bot,
    person: number,
    text: string,
    textJson: string,
    extraJson: string,
    now: number,
    method = 'sendMessage',
  ): number {
    const index = person - FIRST_PERSON_ID;
    const id = bot.nextMessageId;
    const at = roundMs(now);
    const isPlain = method === 'sendMessage';
    const extra = extraJson === '' && !isPlain ? '{}' : extraJson;
    const tail = `${extra === '' ? '' : `,${extra}`}${isPlain ? '' : `,"${method}"`}]`;
    const offset = this.#journal.append(
      `["s",${bot.making.id},${person},${id},${at},${bot.dialogs.newest(index)},${textJson}${tail}`,
    );
    this.#applySent(bot, index, id, at, text, offset, method);
    this.observer?.changed(['s', bot.making.id, person, id, at, 0, text]);
    return id;
  }

  /**
   * Has things happen in chats at one moment, as one record: all of it lasts or nothing. Each event finds the state that those before it
   * left; the bots that hear of it get updates.
   */
  happen(now: number, ...events: readonly ChatEvent[]): void {
    const at = roundMs(now);
    const offset = this.#journal.end;
    const nextIds = new Map<Bot, number>();
    const updates: [number, number, number][] = [];
    for (const [place, event] of events.entries()) {
      applyChatEvent(this.state, event, at, offset);
      for (const bot of audience(this.state, event, at)) {
        const id = nextIds.get(bot) ?? bot.queue.nextId;
        nextIds.set(bot, id + 1);
        updates.push([bot.making.id, id, place]);
      }
    }
    const record: ChatRecord = ['g', at, events, updates];
    this.#journal.append(JSON.stringify(record));
    for (const [bot, id] of updates) this.#enqueue(this.#botOf(bot), id, offset, at + UPDATE_LIFE_MS);
    this.observer?.changed(record);
  }

  /** The bots that got updates since the last call. */
  takeFresh(): Bot[] {
    if (this.#freshFor.size === 0) return [];
    const fresh = [...this.#freshFor];
    this.#freshFor.clear();
    return fresh;
  }

  /** Makes all changes so far last; false when the disk refuses (it is tried again at the next call). Never throws. */
  flush(): boolean {
    if (this.#countersChanged) {
      this.#countersChanged = false;
      this.#journal.append(JSON.stringify(['d', this.state.counters] satisfies JournalRecord));
    }
    const done = this.#journal.flush();
    if (done && this.#unused.size > 0) this.#dropUnused();
    if (done && this.#journal.full) this.checkpoint();
    return done;
  }

  /** Writes the world whole, so that a start need not read the journal; what fails here is tried again later. Never throws. */
  checkpoint(): void {
    const offset = this.#journal.end;
    if (offset === this.#snapshotAt) return;
    try {
      writeSnapshot(this.#dir, packWorld(this.state, offset));
      this.#snapshotAt = offset;
      // Only then: else each restart would give up a segment, however little there is in it.
      if (this.#journal.full) this.#journal.rotate();
      const { oldest } = this.#journal;
      for (const bot of this.state.bots.values()) {
        bot.queue.forgetOffsetsBelow(oldest);
        bot.log.forgetBelow(oldest);
      }
      for (const { log } of this.state.chats.byId.values()) log.forgetBelow(oldest);
    } catch {
      // The journal holds everything still; only the next start is slower.
    }
  }

  #dropUnused(): void {
    for (const hash of this.#unused) if (!this.state.files.has(hash)) this.#fileBytes.remove(hash);
    this.#unused.clear();
  }

  #pruneFiles(): void {
    this.#fileBytes.prune((hash) => this.state.files.has(hash));
  }

  #record(record: JournalRecord): void {
    this.#apply(record, this.#journal.append(JSON.stringify(record)));
    this.observer?.changed(record);
  }

  #botOf(id: number): Bot {
    const bot = this.state.bots.get(id);
    if (bot === undefined) throw new Error(`no bot ${id}`);
    return bot;
  }

  #apply(record: JournalRecord, offset: number): void {
    switch (record[0]) {
      case 's':
        this.#applySent(
          this.#botOf(record[1]),
          record[2] - FIRST_PERSON_ID,
          record[3],
          record[4],
          record[6],
          offset,
          record[8],
        );
        break;
      case 'm': {
        const bot = this.#botOf(record[1]);
        const index = record[2] - FIRST_PERSON_ID;
        bot.nextMessageId = record[3] + 1;
        bot.dialogs.setStarted(index);
        bot.dialogs.setNewest(index, offset);
        bot.log.note(record[3], offset);
        this.#enqueue(bot, record[8], offset, record[4] + UPDATE_LIFE_MS);
        break;
      }
      case 'k': {
        const bot = this.#botOf(record[1]);
        bot.dialogs.setBlocked(record[2] - FIRST_PERSON_ID, record[4] === 1);
        this.#enqueue(bot, record[5], offset, record[3] + UPDATE_LIFE_MS);
        break;
      }
      case 'g':
        for (const event of record[2]) applyChatEvent(this.state, event, record[1], offset);
        for (const [bot, id] of record[3]) this.#enqueue(this.#botOf(bot), id, offset, record[1] + UPDATE_LIFE_MS);
        break;
      case 'q': {
        const bot = this.#botOf(record[1]);
        this.state.nextQuery += 1;
        bot.queries.open(record[3].id, record[2]);
        this.#enqueue(bot, record[4], offset, record[2] + QUERY_LIFE_MS);
        break;
      }
      case 'w':
        this.#botOf(record[1]).queries.close(record[2]);
        break;
      case 'b':
        addBot(this.state, newBot(record[1]));
        break;
      case 'p':
        this.state.people.add(record[1]);
        break;
      case 'x':
        this.state.people.deactivated.add(record[1]);
        break;
      case 'c':
        this.#botOf(record[1]).settings = record[2];
        break;
      case 'a':
        this.#botOf(record[1]).queue.forgetBelow(record[2]);
        break;
      case 'u':
        this.#botOf(record[1]).queue.finish(record[2]);
        break;
      case 'e':
        for (const hash of this.state.files.add(record[1])) this.#unused.add(hash);
        break;
      case 'f':
        this.state.faults = record[1];
        break;
      case 'd':
        this.state.counters = { ...newCounters(), ...record[1] };
        break;
      case 't':
        this.state.time = record[1];
        break;
      case 'r':
        resetState(this.state, record[1]);
        break;
      default:
    }
  }

  #enqueue(bot: Bot, id: number, offset: number, until: number): void {
    if (id === 0) return;
    bot.queue.push(offset, until);
    this.#freshFor.add(bot);
    this.observer?.queued(bot, id, offset);
  }

  #applySent(
    bot: Bot,
    index: number,
    id: number,
    at: number,
    text: string,
    offset: number,
    method = 'sendMessage',
  ): void {
    bot.nextMessageId = id + 1;
    bot.log.note(id, offset);
    noteAccepted(this.state, bot, bot.dialogs, index, at, offset, text, method);
  }
}

function roundMs(now: number): number {
  return Math.round(now * 10) / 10;
}
