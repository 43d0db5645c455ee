import { paceTake } from '../limits/rate-limits.js';
import { noteAccepted } from './acceptance.js';
import type { Bot } from './bot.js';
import type { ChatEvent, ChatMessage } from './chat-events.js';
import { type Chat, type ChatMaking, hasRight, newChat, paceOf, presentBots, standing } from './chats.js';
import type { MessageLog } from './message-log.js';
import { FIRST_PERSON_ID } from './people.js';
import { addChat, removeUsername, setMember, type WorldState } from './world-state.js';

/** How long a bot may write to someone who asks to join a chat and never wrote to it. */
const REQUEST_OPENS_MS = 5 * 60 * 1000;

/** Changes the state by one event of a chat; `offset` is its record's. Throws for one that no operation of this program makes. */
export function applyChatEvent(state: WorldState, event: ChatEvent, at: number, offset: number): void {
  switch (event.kind) {
    case 'made':
      addChat(state, newChat(event.making));
      break;
    case 'written':
      applyWritten(state, event.message, event.method, at, offset);
      break;
    case 'edited':
      logOf(state, event.message).setChange(event.message.id, event.first, offset);
      break;
    case 'deleted':
      for (const [id, first] of event.messages) logOf(state, event).setChange(id, first, 0);
      break;
    case 'pinned':
      if (event.bot === undefined) chatOf(state, event.chat).pinned = event.ids;
      else botOf(state, event.bot).pinned.set(event.chat, event.ids);
      break;
    case 'member':
      setMember(state, chatOf(state, event.change.chat), event.change.user, event.change.new);
      break;
    case 'requested': {
      const chat = chatOf(state, event.chat);
      chat.requests.set(event.request.user, event.request);
      for (const [id, bot] of chat.bots) {
        if (hasRight(standing(chat, id, at), 'can_invite_users')) openFor(bot, event.request.user, at);
      }
      break;
    }
    case 'answered':
      chatOf(state, event.chat).requests.delete(event.user);
      break;
    case 'linked':
      chatOf(state, event.chat).links.set(event.link.link, event.link);
      break;
    case 'upgraded':
      applyUpgrade(state, chatOf(state, event.chat), event.making);
      break;
    case 'closed': {
      const chat = chatOf(state, event.chat);
      chat.deleted = true;
      removeUsername(state, chat);
      break;
    }
    default:
  }
}

function applyWritten(
  state: WorldState,
  message: ChatMessage,
  method: string | undefined,
  at: number,
  offset: number,
): void {
  const { id } = message;
  logOf(state, message).note(id, offset);
  if (message.bot !== undefined) {
    const bot = botOf(state, message.bot);
    bot.nextMessageId = id + 1;
    bot.dialogs.setNewest(message.chat - FIRST_PERSON_ID, offset);
    return;
  }
  const chat = chatOf(state, message.chat);
  chat.nextMessageId = id + 1;
  chat.newest = offset;
  if (chat.type === 'group') {
    for (const bot of presentBots(chat, at)) bot.nextMessageId = Math.max(bot.nextMessageId, id + 1);
  }
  if (method === undefined) return;
  const bot = botOf(state, message.from);
  paceTake(paceOf(chat, bot.making.id), at);
  noteAccepted(state, bot, bot.groupDialogs, chat.making.index, at, offset, message.text, method);
}

/** Lets a bot write to someone for a while; those for whom that has run out are forgotten. */
function openFor(bot: Bot, person: number, at: number): void {
  for (const [other, until] of bot.openUntil) if (until <= at) bot.openUntil.delete(other);
  bot.openUntil.set(person, at + REQUEST_OPENS_MS);
}

function applyUpgrade(state: WorldState, group: Chat, making: ChatMaking): void {
  const chat = newChat(making);
  chat.title = group.title;
  chat.permissions = group.permissions;
  for (const [user, member] of group.members) setMember(state, chat, user, member);
  addChat(state, chat);
  group.upgradedTo = chat.id;
}

function logOf(state: WorldState, { chat, bot }: { readonly chat: number; readonly bot?: number }): MessageLog {
  return bot === undefined ? chatOf(state, chat).log : botOf(state, bot).log;
}

function chatOf(state: WorldState, id: number): Chat {
  const chat = state.chats.byId.get(id);
  if (chat === undefined) throw new Error(`no chat ${id}`);
  return chat;
}

function botOf(state: WorldState, id: number): Bot {
  const bot = state.bots.get(id);
  if (bot === undefined) throw new Error(`no bot ${id}`);
  return bot;
}
