import { FileTable } from '../files/file-table.js';
import { type Faults, NO_FAULTS } from '../limits/faults.js';
import type { VirtualTime } from '../virtual-clock.js';
import { type Bot, newBot } from './bot.js';
import type { Chat, Member } from './chats.js';
import { type Counters, newCounters } from './counters.js';
import { People } from './people.js';
import { UpdateQueue } from './update-queue.js';

const FIRST_BOT_ID = 7_000_000_001;
const FIRST_GROUP_ID = -4_000_000_001;
const FIRST_SUPERGROUP_ID = -1_002_000_000_001;

/** All groups, supergroups and channels; ids go downwards, those of groups apart from the others. */
interface Chats {
  readonly byId: Map<number, Chat>;
  /** Those with a username, by it in lower case. */
  readonly byUsername: Map<string, Chat>;
  nextGroupId: number;
  nextSupergroupId: number;
  nextIndex: number;
}

/** All that the local Telegram knows; changed by the operations of `World` only. `nextBotId` is the id that the next bot gets. */
export interface WorldState {
  readonly people: People;
  readonly bots: Map<number, Bot>;
  readonly byToken: Map<string, Bot>;
  readonly chats: Chats;
  readonly files: FileTable;
  nextBotId: number;
  /** What tells one callback query from another. */
  nextQuery: number;
  faults: Faults;
  counters: Counters;
  /** How the time of this world stands to the host's. */
  time: VirtualTime;
}

/** A world without anyone. Never throws. */
export function newState(): WorldState {
  return {
    people: new People(),
    bots: new Map(),
    byToken: new Map(),
    chats: {
      byId: new Map(),
      byUsername: new Map(),
      nextGroupId: FIRST_GROUP_ID,
      nextSupergroupId: FIRST_SUPERGROUP_ID,
      nextIndex: 0,
    },
    files: new FileTable(),
    nextBotId: FIRST_BOT_ID,
    nextQuery: 1,
    faults: NO_FAULTS,
    counters: newCounters(),
    time: { aheadMs: 0 },
  };
}

/** Adds a bot to a state, or puts it in the place of the one with its id. Never throws. */
export function addBot(state: WorldState, bot: Bot): void {
  state.bots.set(bot.making.id, bot);
  state.byToken.set(bot.making.token, bot);
  state.nextBotId = Math.max(state.nextBotId, bot.making.id + 1);
}

/** Adds a chat, or puts it in the place of the one with its id. Never throws. */
export function addChat({ chats }: WorldState, chat: Chat): void {
  chats.byId.set(chat.id, chat);
  if (chat.username !== undefined) chats.byUsername.set(chat.username.toLowerCase(), chat);
  if (chat.type === 'group') chats.nextGroupId = Math.min(chats.nextGroupId, chat.id - 1);
  else chats.nextSupergroupId = Math.min(chats.nextSupergroupId, chat.id - 1);
  chats.nextIndex = Math.max(chats.nextIndex, chat.making.index + 1);
}

/** Frees a chat's username. Never throws. */
export function removeUsername({ chats }: WorldState, chat: Chat): void {
  if (chat.username !== undefined) chats.byUsername.delete(chat.username.toLowerCase());
  chat.username = undefined;
}

/** Gives someone a standing in a chat. Never throws. */
export function setMember({ bots }: WorldState, chat: Chat, user: number, member: Member): void {
  chat.members.set(user, member);
  const bot = bots.get(user);
  if (bot !== undefined) chat.bots.set(user, bot);
}

/** Counters and numbers seen to zero, faults off; with the world also: nobody left but the made-up bot, whose settings stay. Never throws. */
export function resetState(state: WorldState, withWorld: boolean): void {
  state.faults = NO_FAULTS;
  state.counters = newCounters();
  for (const bot of [...state.bots.values()]) {
    bot.second.clear();
    bot.dialogs.clearNumbers();
    bot.groupDialogs.clearNumbers();
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
  for (const { paces } of state.chats.byId.values()) for (const pace of paces.values()) pace.shutUntil = 0;
  if (!withWorld) return;
  state.people.clear();
  state.files.clear();
  state.chats.byId.clear();
  state.chats.byUsername.clear();
}
