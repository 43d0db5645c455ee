import { api } from './api.js';
import { avatar } from './avatar.js';
import { openChatInfo } from './chat-dialogs.js';
import { byId, el, KeyedList } from './dom.js';
import { type MenuItem, openMenu } from './menu.js';
import { type BubbleActions, type BubblePlace, messageBubble } from './message-bubble.js';
import type { Chat, Model } from './model.js';
import type { WireChat, WireMessage } from './wire.js';
import { dayKey, dayWords, nameOf, previewOf, serviceWords, typeWords } from './words.js';

/** Messages of one sender within so many seconds stand together. */
const RUN_S = 600;
/** Earlier messages are asked for when the log is scrolled so near to its start. */
const NEAR_START_PX = 300;
/** The log follows new messages while it is at most so many pixels from its end. */
const NEAR_END_PX = 80;

/** A line across the chat (a day, an event) or a message. */
type Row =
  | { readonly kind: 'day' | 'event'; readonly words: string }
  | { readonly kind: 'message'; readonly place: BubblePlace };

/** The open chat: its header and its messages. The log stays at its end while the user is there, and stays where it is otherwise. */
export function conversation(model: Model, actions: BubbleActions): void {
  const log = byId('log');
  const toEnd = byId('to-end');
  // What scrolls can be reached by Tab, so that the arrow keys scroll it.
  log.tabIndex = 0;
  const rows = new KeyedList<Row>(
    byId('messages'),
    (row) =>
      'place' in row ? messageBubble(row.place, actions) : el('div', { class: row.kind }, el('span', {}, row.words)),
    sameRow,
  );
  let shownId: number | undefined;
  let newest: WireMessage | undefined;
  let oldest: WireMessage | undefined;
  const isNearEnd = (): boolean => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
  const goToEnd = (): void => {
    log.scrollTop = log.scrollHeight;
  };
  toEnd.addEventListener('click', goToEnd);
  log.addEventListener('scroll', () => {
    toEnd.hidden = isNearEnd();
    if (log.scrollTop < NEAR_START_PX) void model.loadEarlier();
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
    const first = chat.messages?.[0];
    const grew = !isOther && first !== oldest ? log.scrollHeight - log.scrollTop : undefined;
    shownId = chat.info.id;
    newest = last;
    oldest = first;
    rows.show(rowsOf(chat.messages ?? [], person.id, chat.info.type !== 'private'));
    byId('chat-empty').hidden = chat.messages === undefined || chat.messages.length > 0;
    if (follow) goToEnd();
    // What comes above pushes nothing away.
    else if (grew !== undefined) log.scrollTop = log.scrollHeight - grew;
    toEnd.hidden = isNearEnd();
  });
  header(model);
}

function rowsOf(messages: readonly WireMessage[], user: number, named: boolean): [string, Row][] {
  const rows: [string, Row][] = [];
  const byId = new Map(messages.map((message) => [message.messageId, message]));
  for (const [at, message] of messages.entries()) {
    const before = messages[at - 1];
    const after = messages[at + 1];
    if (before === undefined || dayKey(before.date) !== dayKey(message.date)) {
      rows.push([`day ${dayKey(message.date)}`, { kind: 'day', words: dayWords(message.date) }]);
    }
    const key = `message ${message.messageId}`;
    if (message.service !== undefined) {
      rows.push([key, { kind: 'event', words: serviceWords(message) }]);
      continue;
    }
    const original = byId.get(message.replyTo ?? 0);
    const place: BubblePlace = {
      message,
      mine: message.from.id === user,
      first: before === undefined || !together(before, message),
      last: after === undefined || !together(message, after),
      named,
      quoted: original && { name: nameOf(original.from), words: previewOf(original) },
    };
    rows.push([key, { kind: 'message', place }]);
  }
  return rows;
}

function together(before: WireMessage, after: WireMessage): boolean {
  return (
    before.from.id === after.from.id &&
    before.service === undefined &&
    after.service === undefined &&
    after.date - before.date < RUN_S &&
    dayKey(before.date) === dayKey(after.date)
  );
}

function sameRow(before: Row, now: Row): boolean {
  if (before.kind === 'message' && now.kind === 'message') {
    const { message: a, ...placeBefore } = before.place;
    const { message: b, ...placeNow } = now.place;
    return (a === b || same(a, b)) && same(placeBefore, placeNow);
  }
  return same(before, now);
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function header(model: Model): void {
  const face = byId('chat-face');
  const title = byId('chat-title');
  const subtitle = byId('chat-subtitle');
  const card = byId('chat-empty');
  const menu = byId('chat-menu');
  let shown: Chat['info'] | undefined;
  menu.addEventListener('click', () => {
    if (model.open !== undefined) openMenu(menu, menuItems(model, model.open.info));
  });
  byId('chat-heading').addEventListener('click', () => {
    if (model.open !== undefined && model.open.info.type !== 'private') openChatInfo(model);
  });
  model.watch(() => {
    const info = model.open?.info;
    if (info === undefined || info === shown) return;
    const isOther = info.id !== shown?.id || info.title !== shown.title;
    shown = info;
    subtitle.textContent = typeWords(info);
    if (!isOther) return;
    face.replaceChildren(avatar(info.id, info.title));
    title.textContent = info.title;
    card.replaceChildren(
      avatar(info.id, info.title),
      el('h2', {}, info.title),
      el('p', {}, info.username === undefined ? '' : `@${info.username}`),
      el(
        'p',
        { class: 'dim' },
        `Nobody has said anything here yet. ${info.type === 'private' ? 'Press START to greet the bot.' : ''}`,
      ),
    );
  });
}

function menuItems(model: Model, info: WireChat): MenuItem[] {
  const { person } = model;
  if (person === undefined) return [];
  const { id, blocked, type, status } = info;
  const run = (work: () => Promise<unknown>) => () => void model.attempt(work());
  if (type === 'private') {
    return [
      {
        icon: blocked ? 'unlock' : 'block',
        label: blocked ? 'Unblock the bot' : 'Block the bot',
        danger: !blocked,
        run: run(() => api.setBlocked(person.id, id, !blocked)),
      },
    ];
  }
  const items: MenuItem[] = [{ icon: 'people', label: 'Who is here', run: () => openChatInfo(model) }];
  if (status !== 'creator') {
    items.push({ icon: 'leave', label: 'Leave', danger: true, run: run(() => api.leave(id, person.id)) });
    return items;
  }
  if (type === 'group') {
    items.push({ icon: 'up', label: 'Make it a supergroup', run: run(() => api.upgrade(id)) });
  }
  items.push({ icon: 'trash', label: 'Delete for everyone', danger: true, run: run(() => api.deleteChat(id)) });
  return items;
}
