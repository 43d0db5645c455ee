import { api } from './api.js';
import { openInvite } from './chat-dialogs.js';
import type { Composer } from './composer.js';
import { safeHref } from './entity-runs.js';
import { type MenuItem, openMenu } from './menu.js';
import type { BubbleActions } from './message-bubble.js';
import type { Model } from './model.js';
import { showAlert, showError, toast } from './notices.js';
import type { WireMessage } from './wire.js';

const INVITATION = /^https?:\/\/t\.me\/(?:\+|joinchat\/)[\w-]+$/i;
const DEEP_LINK = /^https?:\/\/t\.me\/(\w{3,32})\/?(?:\?start=([\w-]{0,64}))?$/i;

/** What the parts of messages do when they are pressed. `show` opens a chat. */
export function bubbleActions(model: Model, writing: Composer, show: (chat: number) => void): BubbleActions {
  const chatOf = (username: string): number | undefined =>
    model.chats.find(({ info }) => info.username?.toLowerCase() === username.toLowerCase())?.info.id;
  const copy = (text: string): void => void navigator.clipboard.writeText(text).then(() => toast('Copied.'), showError);
  return {
    onCommand: (command) => void writing.write(command),
    onMention: (username) => {
      const chat = chatOf(username);
      if (chat === undefined) toast(`There is no @${username} among your chats.`);
      else show(chat);
    },
    onLink: (href) => {
      if (INVITATION.test(href)) {
        openInvite(model, href, show);
        return true;
      }
      const [, username = '', payload] = DEEP_LINK.exec(href) ?? [];
      const chat = chatOf(username);
      if (chat === undefined) return false;
      show(chat);
      if (payload !== undefined && payload !== '') void writing.write(`/start ${payload}`, chat);
      return true;
    },
    onPress: (message, data) => press(model, message, data),
    onCopy: copy,
    onMenu: (message, bubble, at) => openMenu(bubble, messageItems(model, writing, message, copy), at),
    onUnknownButton: ({ text }) => toast(`The local Telegram does not play what “${text}” asks for.`),
  };
}

async function press(model: Model, message: WireMessage, data: string): Promise<void> {
  const { open: chat, person } = model;
  if (chat === undefined || person === undefined) return;
  const answer = await model.attempt(api.press(person.id, chat.info.id, message.messageId, data));
  if (answer === undefined) return;
  const { answered, text = '', alert = false, url } = answer;
  const href = url === undefined ? undefined : safeHref(url);
  if (href !== undefined) open(href, '_blank', 'noopener,noreferrer');
  if (!answered) toast('The bot has not answered the press within 10 seconds.', 'error');
  else if (text !== '' && alert) showAlert(text);
  else if (text !== '') toast(text);
}

function messageItems(model: Model, writing: Composer, message: WireMessage, copy: (text: string) => void): MenuItem[] {
  const { open: chat, person } = model;
  if (chat === undefined || person === undefined) return [];
  const items: MenuItem[] = [];
  const text = message.text ?? message.caption;
  const mine = message.from.id === person.id;
  if (chat.info.canWrite !== false && !chat.info.blocked) {
    items.push({ icon: 'reply', label: 'Reply', run: () => writing.reply(message) });
  }
  if (mine && message.text !== undefined) items.push({ icon: 'edit', label: 'Edit', run: () => writing.edit(message) });
  if (text !== undefined) items.push({ icon: 'copy', label: 'Copy text', run: () => copy(text) });
  const runs = chat.info.status === 'creator' || chat.info.status === 'administrator';
  if (mine || runs || chat.info.type === 'private') {
    const remove = () => void model.attempt(api.remove(person.id, chat.info.id, message.messageId));
    items.push({ icon: 'trash', label: 'Delete for everyone', danger: true, run: remove });
  }
  return items;
}
