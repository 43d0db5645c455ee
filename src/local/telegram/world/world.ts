import type { Faults } from '../limits/faults.js';
import { paceTake } from '../limits/rate-limits.js';
import { type Bot, type BotMaking, type BotSettings, newBot, wants } from './bot.js';
import { countCall } from './counters.js';
import type { Journal } from './journal.js';
import { FIRST_PERSON_ID, type PeopleRange } from './people.js';
import { type JournalRecord, type MessageExtra, readRecord } from './record.js';
import { readSnapshots, writeSnapshot } from './snapshot.js';
import { adoptWorld, packWorld } from './world-snapshot.js';
import { addBot, newState, resetState, type WorldState } from './world-state.js';

const NUMBERED = /^#(\d{1,15}) /;

/**
 * The world: its state in memory, every change appended to the journal before anyone hears of it. Each operation stages its record and
 * changes the state; the journal's `flush`, once a turn, makes it last. A world read back equals the one that was flushed.
 */
export class World {
  readonly state: WorldState = newState();
  readonly #dir: string;
  readonly #journal: Journal;
  readonly #freshFor = new Set<Bot>();
  #countersChanged: boolean;
  #snapshotAt = 0;

  private constructor(dir: string, journal: Journal) {
    this.#dir = dir;
    this.#journal = journal;
    this.#countersChanged = false;
  }

  /** Reads the world that a directory keeps; damaged lines are passed over and told to `log`. Throws what the file system throws. */
  static open(dir: string, journal: Journal, log: (line: string) => void): World {
    const world = new World(dir, journal);
    for (const snapshot of readSnapshots(dir)) {
      if (snapshot.offset > journal.end) continue;
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

  configure(bot: Bot, settings: BotSettings): void {
    this.#record(['c', bot.making.id, settings]);
  }

  /** Forgets a bot's updates below an id. */
  confirm(bot: Bot, id: number): void {
    if (id > bot.queue.firstId && bot.queue.length > 0) this.#record(['a', bot.making.id, id]);
  }

  setFaults(faults: Faults): void {
    this.#record(['f', faults]);
  }

  reset(withWorld: boolean): void {
    this.#record(['r', withWorld]);
    if (withWorld && this.#journal.flush()) this.checkpoint();
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
  accept(bot: Bot, person: number, text: string, textJson: string, extraJson: string, now: number): number {
    const index = person - FIRST_PERSON_ID;
    const id = bot.nextMessageId;
    const at = roundMs(now);
    const tail = extraJson === '' ? ']' : `,${extraJson}]`;
    const offset = this.#journal.append(
      `["s",${bot.making.id},${person},${id},${at},${bot.dialogs.newest(index)},${textJson}${tail}`,
    );
    this.#applySent(bot, index, id, now, text, offset);
    return id;
  }

  /** The line of a record; undefined when it was given up. */
  line(offset: number): string | undefined {
    return offset < this.#journal.oldest || offset <= 0 ? undefined : this.#journal.read(offset);
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
      this.#journal.rotate();
      for (const bot of this.state.bots.values()) bot.queue.forgetOffsetsBelow(this.#journal.oldest);
    } catch {
      // The journal holds everything still; only the next start is slower.
    }
  }

  #record(record: JournalRecord): void {
    this.#apply(record, this.#journal.append(JSON.stringify(record)));
  }

  #botOf(id: number): Bot {
    const bot = this.state.bots.get(id);
    if (bot === undefined) throw new Error(`no bot ${id}`);
    return bot;
  }

  #apply(record: JournalRecord, offset: number): void {
    switch (record[0]) {
      case 's':
        this.#applySent(this.#botOf(record[1]), record[2] - FIRST_PERSON_ID, record[3], record[4], record[6], offset);
        break;
      case 'm': {
        const bot = this.#botOf(record[1]);
        const index = record[2] - FIRST_PERSON_ID;
        bot.nextMessageId = record[3] + 1;
        bot.dialogs.setStarted(index);
        bot.dialogs.setNewest(index, offset);
        this.#enqueue(bot, record[8], offset);
        break;
      }
      case 'k': {
        const bot = this.#botOf(record[1]);
        bot.dialogs.setBlocked(record[2] - FIRST_PERSON_ID, record[4] === 1);
        this.#enqueue(bot, record[5], offset);
        break;
      }
      case 'b':
        addBot(this.state, newBot(record[1]));
        break;
      case 'p':
        this.state.people.add(record[1]);
        break;
      case 'c':
        this.#botOf(record[1]).settings = record[2];
        break;
      case 'a':
        this.#botOf(record[1]).queue.forgetBelow(record[2]);
        break;
      case 'f':
        this.state.faults = record[1];
        break;
      case 'd':
        this.state.counters = record[1];
        break;
      case 'r':
        resetState(this.state, record[1]);
        break;
      default:
    }
  }

  #enqueue(bot: Bot, id: number, offset: number): void {
    if (id === 0) return;
    bot.queue.push(offset);
    this.#freshFor.add(bot);
  }

  #applySent(bot: Bot, index: number, id: number, at: number, text: string, offset: number): void {
    const { counters } = this.state;
    bot.nextMessageId = id + 1;
    bot.dialogs.setAccepted(index, at, offset);
    paceTake(bot.pace, at);
    counters.accepted += 1;
    countCall(counters, 'sendMessage');
    counters.maxInOneSecond = Math.max(counters.maxInOneSecond, bot.second.note(at));
    if (text.charCodeAt(0) !== 35) return;
    const number = NUMBERED.exec(text)?.[1];
    if (number === undefined) return;
    const finding = bot.dialogs.noteNumber(index, Number(number));
    if (finding === 'duplicate') counters.duplicates += 1;
    else counters.distinct += 1;
    if (finding === 'outOfOrder') counters.outOfOrder += 1;
  }
}

function roundMs(now: number): number {
  return Math.round(now * 10) / 10;
}
