import type { Bot } from './bot.js';
import { wants } from './bot.js';
import { type ChatEvent, type ChatMessage, updateKind } from './chat-events.js';
import { type Chat, isAdministrator, isPresent, standing } from './chats.js';
import type { WorldState } from './world-state.js';

/** The bots that get an update of what has just happened in a chat (`at` in ms): who may know of it and wants to. Never throws. */
export function* audience(state: WorldState, event: ChatEvent, at: number): Generator<Bot> {
  if ('made' in event) return;
  const chat = state.chats.byId.get('message' in event ? event.message.chat : event.member.chat);
  if (chat === undefined) return;
  for (const [id, bot] of chat.bots) {
    const kind = updateKind(event, id, chat.type === 'channel');
    if (kind === undefined || !wants(bot, kind)) continue;
    const member = standing(chat, id, at);
    const hears =
      'message' in event
        ? isPresent(member) && hearsMessage(state, chat, bot, event.message, isAdministrator(member))
        : event.member.user === id || isAdministrator(member);
    if (hears) yield bot;
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
  if (isAdmin || repliesTo === bot.making.id) return true;
  return commandFor(text, extra.entities, bot.making.username);
}

/** Whether a text begins with a command that this bot is meant by. */
function commandFor(text: string, entities: unknown, username: string): boolean {
  if (!Array.isArray(entities)) return false;
  const [first] = entities as { type?: unknown; offset?: unknown; length?: unknown }[];
  if (first?.type !== 'bot_command' || first.offset !== 0) return false;
  const [, to] = text.slice(0, Number(first.length)).split('@');
  return to === undefined || to.toLowerCase() === username.toLowerCase();
}
