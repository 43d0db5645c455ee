import { byId, el } from './dom.js';
import type { Chat, Model } from './model.js';
import type { WireButton, WireMarkup, WireMessage } from './wire.js';

/** The keyboard that the bot gave below the field, by the newest message that says something of one. */
export function replyKeyboard(model: Model, write: (text: string) => void): { update(chat: Chat | undefined): void } {
  const area = byId('reply-keyboard');
  const toggle = byId('keyboard-button');
  const field = byId('field') as HTMLTextAreaElement;
  const plainPlaceholder = field.placeholder;
  let shown: WireMarkup | undefined;
  let isFolded = false;
  toggle.addEventListener('click', () => {
    isFolded = !isFolded;
    update(model.open);
  });
  function update(chat: Chat | undefined): void {
    const markup = keyboardOf(chat?.messages ?? [], model.person?.id);
    const rows = markup?.keyboard ?? [];
    field.placeholder = markup?.input_field_placeholder ?? plainPlaceholder;
    if (markup !== shown) {
      shown = markup;
      isFolded = false;
      area.replaceChildren(
        ...rows.map((row) => el('div', { class: 'keyboard-row' }, ...row.map((button) => replyButton(button, write)))),
      );
    }
    toggle.hidden = rows.length === 0;
    toggle.setAttribute('aria-expanded', String(!isFolded));
    area.hidden = rows.length === 0 || isFolded;
  }
  return { update };
}

function replyButton(button: WireButton | string, write: (text: string) => void): HTMLElement {
  const text = typeof button === 'string' ? button : button.text;
  return el(
    'button',
    { class: 'key', attributes: { type: 'button' }, on: { click: () => write(text) } },
    el('span', {}, text),
  );
}

function keyboardOf(messages: readonly WireMessage[], user: number | undefined): WireMarkup | undefined {
  const at = messages.findLastIndex(
    ({ from, replyMarkup }) =>
      from.id !== user &&
      replyMarkup !== undefined &&
      (replyMarkup.keyboard !== undefined || replyMarkup.remove_keyboard === true || replyMarkup.force_reply === true),
  );
  const markup = messages[at]?.replyMarkup;
  if (markup?.remove_keyboard === true) return undefined;
  const isUsed = messages.slice(at + 1).some(({ from }) => from.id === user);
  return markup?.one_time_keyboard === true && isUsed ? undefined : markup;
}
