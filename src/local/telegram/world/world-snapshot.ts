import type { StoredFile } from '../files/stored-file.js';
import type { Faults } from '../limits/faults.js';
import { type Pace, paceTake } from '../limits/rate-limits.js';
import type { VirtualTime } from '../virtual-clock.js';
import { type Bot, type BotMaking, type BotSettings, newBot } from './bot.js';
import {
  type Chat,
  type ChatMaking,
  type InviteLink,
  isPlain,
  type JoinRequest,
  type Member,
  newChat,
  type Permission,
  PLAIN_MEMBER,
  paceOf,
} from './chats.js';
import { type Counters, newCounters } from './counters.js';
import type { PackedChanges } from './message-log.js';
import type { PeopleRange } from './people.js';
import type { Snapshot } from './snapshot.js';
import { UpdateQueue } from './update-queue.js';
import { addBot, addChat, setMember, type WorldState } from './world-state.js';

interface PackedBot {
  readonly making: BotMaking;
  readonly settings: BotSettings;
  readonly nextMessageId: number;
  readonly firstUpdateId: number;
  readonly queries: readonly (readonly [string, number])[];
  /** The last times that count to the bot's limit, ascending (ms). */
  readonly taken: readonly number[];
  readonly intervals: [number, number[]][];
  /** The chunks' numbers. A bot's sections: the update queue, the times of the last second, the marks of its log, then these. */
  readonly chunks: readonly number[];
  readonly pinned: readonly (readonly [number, readonly number[]])[];
  readonly openUntil: readonly (readonly [number, number])[];
  readonly groupIntervals: [number, number[]][];
  /** As `chunks`; their sections follow those. */
  readonly groupChunks: readonly number[];
  readonly changes: PackedChanges;
}

/** A chat's section: the marks of its log. They follow those of the bots. */
interface PackedChat {
  readonly making: ChatMaking;
  readonly title: string;
  readonly username?: string | undefined;
  readonly members: readonly (readonly [number, Member])[];
  readonly permissions: readonly Permission[];
  readonly links: readonly InviteLink[];
  readonly requests: readonly JoinRequest[];
  readonly pinned: readonly number[];
  readonly nextMessageId: number;
  readonly newest: number;
  readonly changes: PackedChanges;
  /** By bot: the last times that count to its limit here, ascending (ms). */
  readonly taken: readonly (readonly [number, readonly number[]])[];
  readonly upgradedTo: number;
  readonly deleted: boolean;
}

/** What a snapshot must say to be read; another is of another version of this program. */
const FORMAT = 4;

interface PackedWorld {
  readonly format: typeof FORMAT;
  readonly people: readonly PeopleRange[];
  readonly nextPersonId: number;
  readonly deactivated: readonly number[];
  readonly nextBotId: number;
  readonly nextQuery: number;
  readonly faults: Faults;
  readonly counters: Counters;
  readonly time: VirtualTime;
  readonly bots: readonly PackedBot[];
  readonly chats: readonly PackedChat[];
  readonly nextGroupId: number;
  readonly nextSupergroupId: number;
  readonly nextChatIndex: number;
  /** Oldest first; absent in snapshots from before there were files. */
  readonly files?: readonly StoredFile[];
}

/** The world as a snapshot that stands at a journal offset. Never throws. */
export function packWorld(state: WorldState, offset: number): Snapshot {
  const sections: Uint8Array[] = [];
  const bots = [...state.bots.values()].map((bot): PackedBot => {
    for (const list of [bot.queue.pack(), bot.second.times(), bot.log.marks()]) sections.push(packNumbers(list));
    for (const { bytes } of bot.dialogs.chunks.values()) sections.push(bytes);
    for (const { bytes } of bot.groupDialogs.chunks.values()) sections.push(bytes);
    return {
      making: bot.making,
      settings: bot.settings,
      nextMessageId: bot.nextMessageId,
      firstUpdateId: bot.queue.firstId,
      queries: bot.queries.pack(),
      taken: takenTimes(bot.pace),
      intervals: bot.dialogs.intervals(),
      chunks: [...bot.dialogs.chunks.keys()],
      pinned: [...bot.pinned],
      openUntil: [...bot.openUntil],
      groupIntervals: bot.groupDialogs.intervals(),
      groupChunks: [...bot.groupDialogs.chunks.keys()],
      changes: bot.log.changes(),
    };
  });
  const { chats } = state;
  for (const { log } of chats.byId.values()) sections.push(packNumbers(log.marks()));
  const header: PackedWorld = {
    format: FORMAT,
    people: state.people.ranges,
    nextPersonId: state.people.nextId,
    deactivated: [...state.people.deactivated],
    nextBotId: state.nextBotId,
    nextQuery: state.nextQuery,
    faults: state.faults,
    counters: state.counters,
    time: state.time,
    bots,
    chats: [...chats.byId.values()].map(packChat),
    nextGroupId: chats.nextGroupId,
    nextSupergroupId: chats.nextSupergroupId,
    nextChatIndex: chats.nextIndex,
    files: state.files.all,
  };
  return { offset, header, sections };
}

function packNumbers(list: readonly number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(list).buffer);
}

function unpackNumbers(bytes: Uint8Array): number[] {
  return [...new Float64Array(Uint8Array.from(bytes).buffer)];
}

function packChat(chat: Chat): PackedChat {
  const { making, title, username, permissions, pinned, nextMessageId, newest, upgradedTo, deleted } = chat;
  return {
    making,
    title,
    username,
    members: [...chat.members],
    permissions,
    links: [...chat.links.values()],
    requests: [...chat.requests.values()],
    pinned,
    nextMessageId,
    newest,
    changes: chat.log.changes(),
    taken: [...chat.paces].map(([bot, pace]) => [bot, takenTimes(pace)] as const),
    upgradedTo,
    deleted,
  };
}

function takenTimes({ taken }: Pace): number[] {
  return [...taken].filter(Number.isFinite).sort((a, b) => a - b);
}

/** Whether a snapshot is one that `adoptWorld` reads. Never throws. */
export function isReadable({ header }: Snapshot): boolean {
  return (header as Partial<PackedWorld> | null)?.format === FORMAT;
}

/** Lays a snapshot over an empty state. Never throws for one that is readable. */
export function adoptWorld(state: WorldState, { header, sections }: Snapshot): void {
  const world = header as PackedWorld;
  for (const range of world.people) state.people.add(range);
  if (state.people.nextId < world.nextPersonId) state.people.skipTo(world.nextPersonId);
  for (const person of world.deactivated) state.people.deactivated.add(person);
  state.nextBotId = world.nextBotId;
  state.nextQuery = world.nextQuery;
  state.faults = world.faults;
  // A snapshot from before a figure was counted lacks it.
  state.counters = { ...newCounters(), ...world.counters };
  state.time = world.time;
  const rest = sections.values();
  const nextSection = (): Uint8Array => rest.next().value ?? new Uint8Array(0);
  for (const packed of world.bots) addBot(state, adoptBot(packed, nextSection));
  for (const packed of world.chats) adoptChat(state, packed, unpackNumbers(nextSection()));
  for (const file of world.files ?? []) state.files.add(file);
  state.chats.nextGroupId = world.nextGroupId;
  state.chats.nextSupergroupId = world.nextSupergroupId;
  state.chats.nextIndex = world.nextChatIndex;
}

function adoptBot(packed: PackedBot, nextSection: () => Uint8Array): Bot {
  const bot = newBot(packed.making);
  bot.settings = packed.settings;
  bot.nextMessageId = packed.nextMessageId;
  bot.queue = new UpdateQueue(packed.firstUpdateId);
  bot.queue.adopt(unpackNumbers(nextSection()));
  bot.queries.adopt(packed.queries);
  for (const at of unpackNumbers(nextSection())) bot.second.note(at);
  bot.log.adopt(unpackNumbers(nextSection()), packed.changes);
  for (const at of packed.taken) paceTake(bot.pace, at);
  bot.dialogs.adoptIntervals(packed.intervals);
  for (const number of packed.chunks) bot.dialogs.adopt(number, nextSection());
  bot.groupDialogs.adoptIntervals(packed.groupIntervals);
  for (const number of packed.groupChunks) bot.groupDialogs.adopt(number, nextSection());
  for (const [person, ids] of packed.pinned) bot.pinned.set(person, ids);
  for (const [person, until] of packed.openUntil) bot.openUntil.set(person, until);
  return bot;
}

function adoptChat(state: WorldState, packed: PackedChat, marks: readonly number[]): void {
  const chat = newChat(packed.making);
  const { title, username, permissions, pinned, nextMessageId, newest, upgradedTo, deleted } = packed;
  Object.assign(chat, { title, username, permissions, pinned, nextMessageId, newest, upgradedTo, deleted });
  for (const [user, member] of packed.members) {
    setMember(state, chat, user, isPlain(member) ? PLAIN_MEMBER : member);
  }
  for (const link of packed.links) chat.links.set(link.link, link);
  for (const request of packed.requests) chat.requests.set(request.user, request);
  chat.log.adopt(marks, packed.changes);
  for (const [bot, times] of packed.taken) for (const at of times) paceTake(paceOf(chat, bot), at);
  addChat(state, chat);
}
