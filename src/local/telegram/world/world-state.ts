import { type Faults, NO_FAULTS } from '../limits/faults.js';
import { type Bot, newBot } from './bot.js';
import { type Counters, newCounters } from './counters.js';
import { People } from './people.js';
import { UpdateQueue } from './update-queue.js';

const FIRST_BOT_ID = 7_000_000_001;

/** All that the local Telegram knows; changed by the operations of `World` only. `nextBotId` is the id that the next bot gets. */
export interface WorldState {
  readonly people: People;
  readonly bots: Map<number, Bot>;
  readonly byToken: Map<string, Bot>;
  nextBotId: number;
  faults: Faults;
  counters: Counters;
}

/** A world without anyone. Never throws. */
export function newState(): WorldState {
  return {
    people: new People(),
    bots: new Map(),
    byToken: new Map(),
    nextBotId: FIRST_BOT_ID,
    faults: NO_FAULTS,
    counters: newCounters(),
  };
}

/** Adds a bot to a state, or puts it in the place of the one with its id. Never throws. */
export function addBot(state: WorldState, bot: Bot): void {
  state.bots.set(bot.making.id, bot);
  state.byToken.set(bot.making.token, bot);
  state.nextBotId = Math.max(state.nextBotId, bot.making.id + 1);
}

/** Counters and numbers seen to zero, faults off; with the world also: nobody left but the made-up bot, whose settings stay. Never throws. */
export function resetState(state: WorldState, withWorld: boolean): void {
  state.faults = NO_FAULTS;
  state.counters = newCounters();
  for (const bot of [...state.bots.values()]) {
    bot.second.clear();
    bot.dialogs.clearNumbers();
    bot.shutChats.clear();
    bot.pace.shutUntil = 0;
    if (!withWorld) continue;
    state.bots.delete(bot.making.id);
    state.byToken.delete(bot.making.token);
    if (!bot.making.first) continue;
    const again = newBot(bot.making);
    // Ids go on: who kept some from before must not take new things for old ones.
    again.nextMessageId = bot.nextMessageId;
    again.queue = new UpdateQueue(bot.queue.nextId);
    again.settings = bot.settings;
    addBot(state, again);
  }
  if (withWorld) state.people.clear();
}
