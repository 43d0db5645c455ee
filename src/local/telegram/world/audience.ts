import { type Bot, wants } from './bot.js';
import { type ChatEvent, type ChatMessage, updateKind } from './chat-events.js';
import { type Chat, hasRight, isAdministrator, isPresent, type Member, standing } from './chats.js';
import type { WorldState } from './world-state.js';

/** The bots that get an update of what has just happened in a chat (`at` in ms): who may know of it and wants to. Never throws. */
export function* audience(state: WorldState, event: ChatEvent, at: number): Generator<Bot> {
  if (event.kind === 'written' || event.kind === 'edited') {
    const { bot: id } = event.message;
    if (id !== undefined) {
      const bot = state.bots.get(id);
      if (bot !== undefined && hearsInPrivate(event.message) && wantsEvent(bot, event, false)) yield bot;
      return;
    }
  }
  const chat = state.chats.byId.get(chatIdOf(event));
  if (chat === undefined) return;
  for (const [id, bot] of chat.bots) {
    if (wantsEvent(bot, event, chat.type === 'channel') && hears(state, chat, bot, event, standing(chat, id, at))) {
      yield bot;
    }
  }
}

/** The id of the chat that an event is of. Never throws. */
export function chatIdOf(event: ChatEvent): number {
  switch (event.kind) {
    case 'made':
      return event.making.id;
    case 'written':
    case 'edited':
      return event.message.chat;
    case 'member':
      return event.change.chat;
    default:
      return event.chat;
  }
}

function wantsEvent(bot: Bot, event: ChatEvent, isChannel: boolean): boolean {
  const kind = updateKind(event, bot.making.id, isChannel);
  return kind !== undefined && wants(bot, kind);
}

function hearsInPrivate({ service, from, bot }: ChatMessage): boolean {
  return service === true || from !== bot;
}

/** Whether a bot with that standing gets to know of an event: requests to join need the right to answer them. */
function hears(state: WorldState, chat: Chat, bot: Bot, event: ChatEvent, member: Member): boolean {
  switch (event.kind) {
    case 'written':
    case 'edited':
      return isPresent(member) && hearsMessage(state, chat, bot, event.message, isAdministrator(member));
    case 'member':
      return event.change.user === bot.making.id || isAdministrator(member);
    case 'requested':
      return hasRight(member, 'can_invite_users');
    default:
      return false;
  }
}

/**
 * Whether a bot in the chat gets a message: never its own; in groups no other bot's, and in privacy mode only commands (to it or to all),
 * replies to itself and service messages.
 */
function hearsMessage(
  state: WorldState,
  chat: Chat,
  bot: Bot,
  { from, text, extra, service, repliesTo }: ChatMessage,
  isAdmin: boolean,
): boolean {
  if (service === true) return true;
  if (from === bot.making.id) return false;
  if (chat.type === 'channel') return true;
  if (state.bots.has(from)) return false;
  if (isAdmin || bot.settings.readsAll === true || repliesTo === bot.making.id) return true;
  return isCommandFor(text, extra.entities, bot.making.username);
}

/** Whether a text begins with a command that this bot is meant by. */
function isCommandFor(text: string, entities: unknown, username: string): boolean {
  if (!Array.isArray(entities)) return false;
  const [first] = entities as { type?: unknown; offset?: unknown; length?: unknown }[];
  if (first?.type !== 'bot_command' || first.offset !== 0) return false;
  const [, to] = text.slice(0, Number(first.length)).split('@');
  return to === undefined || to.toLowerCase() === username.toLowerCase();
}
