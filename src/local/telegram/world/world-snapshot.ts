import type { Faults } from '../limits/faults.js';
import { paceTake } from '../limits/rate-limits.js';
import { type BotMaking, type BotSettings, newBot } from './bot.js';
import type { Counters } from './counters.js';
import type { PeopleRange } from './people.js';
import type { Snapshot } from './snapshot.js';
import { UpdateQueue } from './update-queue.js';
import { addBot, type WorldState } from './world-state.js';

interface PackedBot {
  readonly making: BotMaking;
  readonly settings: BotSettings;
  readonly nextMessageId: number;
  readonly firstUpdateId: number;
  /** The last times that count to the bot's limit, ascending (ms). */
  readonly taken: readonly number[];
  readonly intervals: [number, number[]][];
  /** The chunks' numbers; the sections are: the update queue's offsets, then these. */
  readonly chunks: readonly number[];
}

interface PackedWorld {
  readonly people: readonly PeopleRange[];
  readonly nextPersonId: number;
  readonly nextBotId: number;
  readonly faults: Faults;
  readonly counters: Counters;
  readonly bots: readonly PackedBot[];
}

/** The world as a snapshot that stands at a journal offset. Never throws. */
export function packWorld(state: WorldState, offset: number): Snapshot {
  const sections: Uint8Array[] = [];
  const bots = [...state.bots.values()].map((bot): PackedBot => {
    const offsets = Float64Array.from(bot.queue.offsets());
    sections.push(new Uint8Array(offsets.buffer));
    for (const { bytes } of bot.dialogs.chunks.values()) sections.push(bytes);
    return {
      making: bot.making,
      settings: bot.settings,
      nextMessageId: bot.nextMessageId,
      firstUpdateId: bot.queue.firstId,
      taken: [...bot.pace.taken].filter(Number.isFinite).sort((a, b) => a - b),
      intervals: bot.dialogs.intervals(),
      chunks: [...bot.dialogs.chunks.keys()],
    };
  });
  const header: PackedWorld = {
    people: state.people.ranges,
    nextPersonId: state.people.nextId,
    nextBotId: state.nextBotId,
    faults: state.faults,
    counters: state.counters,
    bots,
  };
  return { offset, header, sections };
}

/** Lays a snapshot over an empty state. Never throws for one that `packWorld` made. */
export function adoptWorld(state: WorldState, { header, sections }: Snapshot): void {
  const world = header as PackedWorld;
  for (const range of world.people) state.people.add(range);
  if (state.people.nextId < world.nextPersonId) state.people.skipTo(world.nextPersonId);
  state.nextBotId = world.nextBotId;
  state.faults = world.faults;
  state.counters = world.counters;
  let section = 0;
  for (const packed of world.bots) {
    const bot = newBot(packed.making);
    bot.settings = packed.settings;
    bot.nextMessageId = packed.nextMessageId;
    const bytes = Uint8Array.from(sections[section] ?? []);
    section += 1;
    bot.queue = new UpdateQueue(packed.firstUpdateId, [...new Float64Array(bytes.buffer)]);
    for (const at of packed.taken) paceTake(bot.pace, at);
    bot.dialogs.adoptIntervals(packed.intervals);
    for (const number of packed.chunks) {
      bot.dialogs.adopt(number, sections[section] ?? new Uint8Array(0));
      section += 1;
    }
    addBot(state, bot);
  }
}
