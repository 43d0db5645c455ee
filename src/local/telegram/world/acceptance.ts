import { paceTake } from '../limits/rate-limits.js';
import type { Bot } from './bot.js';
import { countCall } from './counters.js';
import type { Dialogs } from './dialogs.js';
import type { WorldState } from './world-state.js';

const NUMBERED = /^#(\d{1,15}) /;

/**
 * What a bot's accepted message does to its limits and to the figures: `dialogs` and `index` are where its chat is kept; `at` in ms. The
 * chat's own limit, where it has one beside its row there, is the caller's. Never throws.
 */
export function noteAccepted(
  { counters }: WorldState,
  bot: Bot,
  dialogs: Dialogs,
  index: number,
  at: number,
  offset: number,
  text: string,
  method: string,
): void {
  dialogs.setAccepted(index, at, offset);
  paceTake(bot.pace, at);
  counters.accepted += 1;
  countCall(counters, method);
  counters.maxInOneSecond = Math.max(counters.maxInOneSecond, bot.second.note(at));
  if (text.charCodeAt(0) !== 35) return;
  const number = NUMBERED.exec(text)?.[1];
  if (number === undefined) return;
  const finding = dialogs.noteNumber(index, Number(number));
  if (finding === 'duplicate') counters.duplicates += 1;
  else counters.distinct += 1;
  if (finding === 'outOfOrder') counters.outOfOrder += 1;
}
