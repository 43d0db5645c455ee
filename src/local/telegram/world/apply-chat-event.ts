import { paceTake } from '../limits/rate-limits.js';
import { noteAccepted } from './acceptance.js';
import type { ChatEvent, ChatMessage } from './chat-events.js';
import { type Chat, newChat, paceOf, presentBots } from './chats.js';
import { addChat, setMember, type WorldState } from './world-state.js';

/** Changes the state by one event of a chat; `offset` is its record's. Throws for one that no operation of this program makes. */
export function applyChatEvent(state: WorldState, event: ChatEvent, at: number, offset: number): void {
  if ('made' in event) addChat(state, newChat(event.made));
  else if ('message' in event) applyMessage(state, event.message, event.method, at, offset);
  else {
    const { chat, user, new: member } = event.member;
    setMember(state, chatOf(state, chat), user, member);
  }
}

function applyMessage(
  state: WorldState,
  message: ChatMessage,
  method: string | undefined,
  at: number,
  offset: number,
): void {
  const chat = chatOf(state, message.chat);
  const { id } = message;
  chat.nextMessageId = id + 1;
  chat.newest = offset;
  chat.log.note(id, offset);
  if (chat.type === 'group') {
    // Telegram numbers an account's messages over its private chats and basic groups together: what a bot sees here, its next one is above.
    for (const bot of presentBots(chat, at)) bot.nextMessageId = Math.max(bot.nextMessageId, id + 1);
  }
  const bot = method === undefined ? undefined : state.bots.get(message.from);
  if (bot === undefined || method === undefined) return;
  paceTake(paceOf(chat, bot.making.id), at);
  noteAccepted(state, bot, bot.groupDialogs, chat.making.index, at, offset, message.text, method);
}

function chatOf(state: WorldState, id: number): Chat {
  const chat = state.chats.byId.get(id);
  if (chat === undefined) throw new Error(`no chat ${id}`);
  return chat;
}
