import { api } from './api.js';
import { avatar } from './avatar.js';
import { byId, el, KeyedList } from './dom.js';
import { openMenu } from './menu.js';
import { type BubbleActions, type BubblePlace, messageBubble } from './message-bubble.js';
import type { Chat, Model } from './model.js';
import type { WireMessage } from './wire.js';
import { dayKey, dayWords } from './words.js';

/** Messages of one sender within so many seconds stand together. */
const RUN_S = 600;
/** The log follows new messages while it is at most so many pixels from its end. */
const NEAR_END_PX = 80;

type Row = { readonly kind: 'day'; readonly words: string } | { readonly kind: 'message'; readonly place: BubblePlace };

/** The open chat: its header and its messages. The log stays at its end while the user is there, and stays where it is otherwise. */
export function conversation(model: Model, actions: BubbleActions): void {
  const log = byId('log');
  const toEnd = byId('to-end');
  // What scrolls can be reached by Tab, so that the arrow keys scroll it.
  log.tabIndex = 0;
  const rows = new KeyedList<Row>(
    byId('messages'),
    (row) =>
      row.kind === 'day' ? el('div', { class: 'day' }, el('span', {}, row.words)) : messageBubble(row.place, actions),
    sameRow,
  );
  let shownId: number | undefined;
  let newest: WireMessage | undefined;
  const isNearEnd = (): boolean => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
  const goToEnd = (): void => {
    log.scrollTop = log.scrollHeight;
  };
  toEnd.addEventListener('click', goToEnd);
  log.addEventListener('scroll', () => {
    toEnd.hidden = isNearEnd();
  });
  // The composer grows, keyboards open, the window changes: the end stays in sight.
  let wasNearEnd = true;
  log.addEventListener('scroll', () => {
    wasNearEnd = isNearEnd();
  });
  new ResizeObserver(() => {
    if (wasNearEnd) goToEnd();
  }).observe(log);

  model.watch(() => {
    const { open: chat, person } = model;
    if (chat === undefined || person === undefined) {
      shownId = undefined;
      return;
    }
    const isOther = chat.info.id !== shownId;
    const last = chat.messages?.at(-1);
    const isMine = last !== newest && last?.from.id === person.id;
    const follow = isOther || isMine || isNearEnd();
    shownId = chat.info.id;
    newest = last;
    rows.show(rowsOf(chat.messages ?? [], person.id));
    byId('chat-empty').hidden = chat.messages === undefined || chat.messages.length > 0;
    if (follow) goToEnd();
    toEnd.hidden = isNearEnd();
  });
  header(model);
}

function rowsOf(messages: readonly WireMessage[], user: number): [string, Row][] {
  const rows: [string, Row][] = [];
  for (const [at, message] of messages.entries()) {
    const before = messages[at - 1];
    const after = messages[at + 1];
    if (before === undefined || dayKey(before.date) !== dayKey(message.date)) {
      rows.push([`day ${dayKey(message.date)}`, { kind: 'day', words: dayWords(message.date) }]);
    }
    const place: BubblePlace = {
      message,
      mine: message.from.id === user,
      first: before === undefined || !together(before, message),
      last: after === undefined || !together(message, after),
    };
    rows.push([`message ${message.messageId}`, { kind: 'message', place }]);
  }
  return rows;
}

function together(before: WireMessage, after: WireMessage): boolean {
  return (
    before.from.id === after.from.id && after.date - before.date < RUN_S && dayKey(before.date) === dayKey(after.date)
  );
}

function sameRow(before: Row, now: Row): boolean {
  if (before.kind === 'day' || now.kind === 'day') {
    return before.kind === 'day' && now.kind === 'day' && before.words === now.words;
  }
  const a = before.place;
  const b = now.place;
  const isSame = a.message === b.message || JSON.stringify(a.message) === JSON.stringify(b.message);
  return isSame && a.mine === b.mine && a.first === b.first && a.last === b.last;
}

function header(model: Model): void {
  const face = byId('chat-face');
  const title = byId('chat-title');
  const subtitle = byId('chat-subtitle');
  const card = byId('chat-empty');
  const menu = byId('chat-menu');
  let shown: Chat['info'] | undefined;
  menu.addEventListener('click', () => {
    const { open: chat, person } = model;
    if (chat === undefined || person === undefined) return;
    const { id, blocked } = chat.info;
    openMenu(menu, [
      {
        icon: blocked ? 'unlock' : 'block',
        label: blocked ? 'Unblock the bot' : 'Block the bot',
        danger: !blocked,
        run: () => void model.attempt(api.setBlocked(person.id, id, !blocked)),
      },
    ]);
  });
  model.watch(() => {
    const info = model.open?.info;
    if (info === undefined || info === shown) return;
    const isOther = info.id !== shown?.id || info.title !== shown.title;
    shown = info;
    subtitle.textContent = info.blocked ? 'you block this bot' : 'bot';
    if (!isOther) return;
    face.replaceChildren(avatar(info.id, info.title));
    title.textContent = info.title;
    card.replaceChildren(
      avatar(info.id, info.title),
      el('h2', {}, info.title),
      el('p', {}, info.username === undefined ? '' : `@${info.username}`),
      el('p', { class: 'dim' }, 'Nobody has said anything here yet. Press START to greet the bot.'),
    );
  });
}
