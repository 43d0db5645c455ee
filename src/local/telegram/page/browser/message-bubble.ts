import { avatar, inkOf } from './avatar.js';
import { el, icon } from './dom.js';
import { safeHref } from './entity-runs.js';
import { formattedText, type TextActions } from './formatted-text.js';
import type { WireButton, WireMessage } from './wire.js';
import { nameOf, sizeWords, timeOf } from './words.js';

/** What a bubble can do. */
export interface BubbleActions extends TextActions {
  /** Presses a button with callback data; the promise ends with the bot's answer. */
  readonly onPress: (message: WireMessage, data: string) => Promise<void>;
  readonly onCopy: (text: string) => void;
  /** Opens what can be done with a message, at a point. */
  readonly onMenu: (message: WireMessage, bubble: HTMLElement, at: MouseEvent) => void;
  /** A button that the local Telegram does not play. */
  readonly onUnknownButton: (button: WireButton) => void;
}

/** A message as it stands among others: whether it is the user's, and whether it begins or ends a run of one sender's. */
export interface BubblePlace {
  readonly message: WireMessage;
  readonly mine: boolean;
  readonly first: boolean;
  readonly last: boolean;
  /** Whether others than the bot write here, so that it matters who wrote. */
  readonly named: boolean;
  /** What it answers. */
  readonly quoted: { readonly name: string; readonly words: string } | undefined;
}

/** A message with its inline keyboard. */
export function messageBubble(place: BubblePlace, actions: BubbleActions): HTMLElement {
  const { message, mine, first, last, named, quoted } = place;
  const text = message.text ?? message.caption ?? '';
  const entities = (message.text === undefined ? message.captionEntities : message.entities) ?? [];
  const time = el(
    'time',
    { attributes: { datetime: new Date(message.date * 1000).toISOString() } },
    timeOf(message.date),
  );
  const meta = el('span', { class: 'meta' }, message.editDate === undefined ? undefined : 'edited ', time);
  const name = mine ? 'You' : nameOf(message.from);
  const isShown = named && !mine && first;
  const bubble = el(
    'div',
    { class: 'bubble' },
    el('span', { class: isShown ? `sender ink-${inkOf(message.from.id)}` : 'visually-hidden' }, name),
    quoted === undefined ? undefined : quote(quoted),
    mediaOf(message),
    el('div', { class: 'text', attributes: { dir: 'auto' } }, formattedText(text, entities, actions), meta),
  );
  bubble.addEventListener('contextmenu', (event) => {
    // A link or a selection has the browser's own menu.
    if ((event.target as Element).closest('a') !== null || getSelection()?.isCollapsed === false) return;
    event.preventDefault();
    actions.onMenu(message, bubble, event);
  });
  const rows = message.replyMarkup?.inline_keyboard ?? [];
  const names = ['message', mine ? 'mine' : 'theirs', first ? 'first' : '', last ? 'last' : '', named ? 'named' : ''];
  const face = named && !mine && last ? avatar(message.from.id, name) : undefined;
  return el(
    'div',
    { class: names.filter(Boolean).join(' '), attributes: { role: 'article', 'data-message': message.messageId } },
    bubble,
    face,
    rows.length === 0 ? undefined : inlineKeyboard(message, rows, actions),
  );
}

/** The photo, or the document to be kept. */
function mediaOf({ photo, document: file }: WireMessage): HTMLElement | undefined {
  const size = photo?.at(-1);
  if (size !== undefined) {
    const href = fileHref(size.file_unique_id);
    const { width, height } = size;
    const image = el('img', { attributes: { src: href, alt: 'Photo', width, height, loading: 'lazy' } });
    return el('a', { class: 'photo', attributes: { href, target: '_blank', rel: 'noopener noreferrer' } }, image);
  }
  if (file === undefined) return undefined;
  const name = file.file_name ?? 'file';
  return el(
    'a',
    { class: 'file', attributes: { href: fileHref(file.file_unique_id), download: name } },
    el('span', { class: 'file-icon' }, icon('file')),
    el(
      'span',
      { class: 'file-words' },
      el('span', { class: 'file-name' }, name),
      el('span', {}, sizeWords(file.file_size)),
    ),
  );
}

const fileHref = (unique: string): string => `/local/files/${encodeURIComponent(unique)}`;

function quote({ name, words }: { name: string; words: string }): HTMLElement {
  return el(
    'div',
    { class: 'quote' },
    el('span', { class: 'quote-name' }, name),
    el('span', { class: 'quote-words' }, words),
  );
}

function inlineKeyboard(
  message: WireMessage,
  rows: readonly (readonly WireButton[])[],
  actions: BubbleActions,
): HTMLElement {
  return el(
    'div',
    { class: 'inline-keyboard' },
    ...rows.map((row, line) =>
      el(
        'div',
        { class: 'keyboard-row' },
        ...row.map((button, column) => inlineButton(message, button, `${line}:${column}`, actions)),
      ),
    ),
  );
}

function inlineButton(message: WireMessage, button: WireButton, focus: string, actions: BubbleActions): HTMLElement {
  const label = el('span', {}, button.text);
  const href = button.url === undefined ? undefined : safeHref(button.url);
  if (href !== undefined) {
    const attributes = { href, target: '_blank', rel: 'noopener noreferrer', title: href, 'data-focus': focus };
    const follow = (event: Event): void => {
      if (actions.onLink(href)) event.preventDefault();
    };
    return el('a', { class: 'key', attributes, on: { click: follow } }, label, icon('out'));
  }
  const element = el('button', { class: 'key', attributes: { type: 'button', 'data-focus': focus } }, label);
  const { callback_data: data, copy_text: copy } = button;
  element.addEventListener('click', () => {
    if (data !== undefined) {
      if (element.getAttribute('aria-busy') === 'true') return;
      element.setAttribute('aria-busy', 'true');
      void actions.onPress(message, data).finally(() => element.removeAttribute('aria-busy'));
    } else if (copy !== undefined) actions.onCopy(copy.text);
    else actions.onUnknownButton(button);
  });
  return element;
}
