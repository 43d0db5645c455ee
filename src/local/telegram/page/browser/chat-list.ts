import { avatar } from './avatar.js';
import { arrowKeys, byId, el, KeyedList } from './dom.js';
import type { Chat, Model } from './model.js';
import type { WireMessage } from './wire.js';
import { nameOf, previewOf, whenWords } from './words.js';

interface Row {
  readonly chat: Chat;
  readonly isOpen: boolean;
  readonly user: number;
  readonly isFirst: boolean;
}

/** The list of chats on the left. Arrow keys move in it, Enter opens. */
export function chatList(model: Model): void {
  const list = byId('chats');
  arrowKeys(list, 'a');
  const rows = new KeyedList<Row>(
    list,
    chatRow,
    (a, b) =>
      a.chat.info === b.chat.info &&
      a.chat.unread === b.chat.unread &&
      a.isOpen === b.isOpen &&
      a.isFirst === b.isFirst,
  );
  model.watch(() => {
    const { person, open, chats } = model;
    rows.show(
      person === undefined
        ? []
        : chats.map((chat, place) => [
            String(chat.info.id),
            { chat, isOpen: chat === open, user: person.id, isFirst: open === undefined && place === 0 },
          ]),
    );
    const unread = chats.reduce((sum, chat) => sum + chat.unread, 0);
    const name = person === undefined ? 'Local Telegram' : `${person.firstName} · Local Telegram`;
    document.title = unread > 0 ? `(${unread}) ${name}` : name;
  });
}

function chatRow({ chat, isOpen, user, isFirst }: Row): HTMLElement {
  const { info, unread } = chat;
  const { last } = info;
  const mine = last !== undefined && last.from.id === user;
  const words = last === undefined ? 'No messages yet' : previewOf(last);
  const preview = el(
    'span',
    { class: 'chat-preview' },
    last === undefined ? undefined : el('span', { class: 'chat-who' }, whoWords(last, mine, info.type === 'private')),
    words,
  );
  const badge =
    unread === 0
      ? undefined
      : el('span', { class: 'badge', attributes: { 'aria-label': `${unread} unread` } }, String(unread));
  const link = el(
    'a',
    {
      class: isOpen ? 'chat-row open' : 'chat-row',
      attributes: {
        href: `#${user}/${info.id}`,
        'aria-current': isOpen ? 'page' : undefined,
        // One stop for Tab in the whole list; the arrow keys do the rest.
        tabindex: isOpen || isFirst ? 0 : -1,
        'data-focus': 'link',
      },
    },
    avatar(info.id, info.title),
    el(
      'span',
      { class: 'chat-words' },
      el(
        'span',
        { class: 'chat-line' },
        el('span', { class: 'chat-title' }, info.title),
        el('span', { class: 'chat-when' }, last === undefined ? '' : whenWords(last.date)),
      ),
      el('span', { class: 'chat-line' }, preview, badge),
    ),
  );
  return el('li', {}, link);
}

/** Who wrote the newest message, where that has to be said. */
function whoWords({ from, service }: WireMessage, mine: boolean, isPrivate: boolean): string {
  if (service !== undefined || (isPrivate && !mine)) return '';
  return mine ? 'You: ' : `${nameOf(from)}: `;
}
