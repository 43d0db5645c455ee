import { el, icon } from './dom.js';
import { safeHref } from './entity-runs.js';
import { formattedText, type TextActions } from './formatted-text.js';
import type { WireButton, WireMessage } from './wire.js';
import { timeOf } from './words.js';

/** What a bubble can do. */
export interface BubbleActions extends TextActions {
  /** Presses a button with callback data; the promise ends with the bot's answer. */
  readonly onPress: (message: WireMessage, data: string) => Promise<void>;
  readonly onCopy: (text: string) => void;
  /** A button that the local Telegram does not play. */
  readonly onUnknownButton: (button: WireButton) => void;
}

/** A message as it stands among others: whether it is the user's, and whether it begins or ends a run of one sender's. */
export interface BubblePlace {
  readonly message: WireMessage;
  readonly mine: boolean;
  readonly first: boolean;
  readonly last: boolean;
}

/** A message with its inline keyboard. */
export function messageBubble(place: BubblePlace, actions: BubbleActions): HTMLElement {
  const { message, mine, first, last } = place;
  const text = message.text ?? message.caption ?? '';
  const entities = (message.text === undefined ? message.captionEntities : message.entities) ?? [];
  const time = el(
    'time',
    { attributes: { datetime: new Date(message.date * 1000).toISOString() } },
    timeOf(message.date),
  );
  const meta = el('span', { class: 'meta' }, message.editDate === undefined ? undefined : 'edited ', time);
  const bubble = el(
    'div',
    { class: 'bubble' },
    el('span', { class: 'sender visually-hidden' }, mine ? 'You' : message.from.first_name),
    el('div', { class: 'text', attributes: { dir: 'auto' } }, formattedText(text, entities, actions), meta),
  );
  const rows = message.replyMarkup?.inline_keyboard ?? [];
  const names = ['message', mine ? 'mine' : 'theirs', first ? 'first' : '', last ? 'last' : ''];
  return el(
    'div',
    { class: names.filter(Boolean).join(' '), attributes: { role: 'article', 'data-message': message.messageId } },
    bubble,
    rows.length === 0 ? undefined : inlineKeyboard(message, rows, actions),
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
