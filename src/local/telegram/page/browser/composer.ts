import { api } from './api.js';
import { byId, el } from './dom.js';
import type { Chat, Model } from './model.js';
import type { WireButton, WireCommand, WireMarkup, WireMessage } from './wire.js';

const TEXT_MAX = 4096;

/** What the user writes with: the field, the menu of commands, the bot's keyboard, START and Unblock. */
export interface Composer {
  /** Writes a text to the open chat. */
  write(text: string): Promise<void>;
  /** Puts the focus where the user would go on. */
  focus(): void;
  /** Closes what is open above the field; false when nothing was. */
  dismiss(): boolean;
}

/** Sets up the lower edge of the chat. Drafts are kept for each chat while the page is open. */
export function composer(model: Model): Composer {
  const field = byId('field') as HTMLTextAreaElement;
  const form = byId('composer');
  const start = byId('start');
  const unblock = byId('unblock');
  const send = byId('send') as HTMLButtonElement;
  const commandsButton = byId('commands-button');
  const drafts = new Map<number, string>();
  const menu = commandMenu(field, (command) => void write(`/${command}`));
  const keyboard = replyKeyboard(model, (text) => void write(text));
  let shown: string | undefined;

  const fit = (): void => {
    send.disabled = field.value.trim() === '';
    // What is not shown has no height.
    if (field.offsetParent === null) return;
    field.style.blockSize = 'auto';
    field.style.blockSize = `${field.scrollHeight}px`;
  };
  const setText = (text: string): void => {
    field.value = text;
    fit();
    menu.update(model.open?.commands ?? []);
  };
  const write = async (text: string): Promise<void> => {
    const { open: chat, person } = model;
    if (chat === undefined || person === undefined || text.trim() === '') return;
    await model.attempt(api.write(person.id, chat.info.id, text));
  };
  const submit = async (): Promise<void> => {
    const { open: chat, person } = model;
    const text = field.value;
    if (chat === undefined || person === undefined || text.trim() === '') return;
    setText('');
    const written = await model.attempt(api.write(person.id, chat.info.id, text));
    // What was not taken is not lost.
    if (written === undefined && model.open?.info.id === chat.info.id && field.value === '') setText(text);
  };

  field.maxLength = TEXT_MAX;
  field.addEventListener('input', () => {
    fit();
    menu.update(model.open?.commands ?? []);
  });
  field.addEventListener('keydown', (event) => {
    if (event.isComposing || menu.handleKey(event)) return;
    if (event.key !== 'Enter' || event.shiftKey) return;
    event.preventDefault();
    void submit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
    field.focus();
  });
  commandsButton.addEventListener('click', () => {
    const isOpen = menu.isOpen();
    setText(isOpen ? '' : '/');
    field.focus();
  });
  start.addEventListener('click', () => void write('/start'));
  unblock.addEventListener('click', () => {
    const { open: chat, person } = model;
    if (chat !== undefined && person !== undefined) void model.attempt(api.setBlocked(person.id, chat.info.id, false));
  });

  model.watch(() => {
    const { open: chat, person } = model;
    const key = chat === undefined || person === undefined ? undefined : `${person.id}/${chat.info.id}`;
    if (key !== shown) {
      const before = shown?.split('/')[1];
      if (before !== undefined) drafts.set(Number(before), field.value);
      shown = key;
      setText(drafts.get(chat?.info.id ?? 0) ?? '');
    }
    if (chat === undefined) return;
    const stage = stageOf(chat);
    const wasHidden = form.hidden;
    const focused = [start, unblock].find((button) => button === document.activeElement);
    start.hidden = stage !== 'start';
    unblock.hidden = stage !== 'blocked';
    form.hidden = stage !== 'write';
    commandsButton.hidden = chat.commands.length === 0;
    if (wasHidden !== form.hidden) fit();
    keyboard.update(stage === 'write' ? chat : undefined);
    menu.update(chat.commands);
    // A button that went away leaves the focus to what came in its place.
    if (focused?.hidden === true) focus();
  });

  function focus(): void {
    const visible = [start, unblock].find((button) => !button.hidden);
    // On a phone the focus would bring up the keyboard.
    if (visible === undefined && matchMedia('(pointer: coarse)').matches) return;
    (visible ?? field).focus();
  }
  return { write, focus, dismiss: () => menu.close() };
}

function stageOf({ info, messages }: Chat): 'write' | 'start' | 'blocked' | 'loading' {
  if (info.blocked) return 'blocked';
  if (messages === undefined) return 'loading';
  return info.type === 'private' && messages.length === 0 ? 'start' : 'write';
}

interface CommandMenu {
  update(commands: readonly WireCommand[]): void;
  handleKey(event: KeyboardEvent): boolean;
  isOpen(): boolean;
  close(): boolean;
}

/** The list of commands above the field, open while the field holds the beginning of one. */
function commandMenu(field: HTMLTextAreaElement, run: (command: string) => void): CommandMenu {
  const list = byId('command-menu');
  let found: readonly WireCommand[] = [];
  let at = 0;
  let closedFor: string | undefined;

  const choose = (command: WireCommand): void => {
    field.value = '';
    field.dispatchEvent(new Event('input'));
    field.focus();
    run(command.command);
  };
  const mark = (): void => {
    for (const [place, option] of [...list.children].entries()) {
      option.setAttribute('aria-selected', String(place === at));
      if (place === at) option.scrollIntoView({ block: 'nearest' });
    }
    if (found.length > 0) field.setAttribute('aria-activedescendant', `command-${at}`);
    else field.removeAttribute('aria-activedescendant');
  };
  const show = (commands: readonly WireCommand[]): void => {
    if (commands.length === found.length && commands.every((command, place) => command === found[place])) return;
    found = commands;
    at = 0;
    list.replaceChildren(
      ...commands.map((command, place) =>
        el(
          'div',
          {
            class: 'command',
            attributes: { role: 'option', id: `command-${place}` },
            on: { click: () => choose(command), mousedown: (event) => event.preventDefault() },
          },
          el('span', { class: 'command-name' }, `/${command.command}`),
          el('span', { class: 'command-words' }, command.description),
        ),
      ),
    );
    list.hidden = commands.length === 0;
    field.setAttribute('aria-expanded', String(commands.length > 0));
    mark();
  };
  return {
    update(commands) {
      const typed = field.value;
      if (typed !== closedFor) closedFor = undefined;
      const begun = /^\/\w*$/.test(typed) && closedFor === undefined;
      show(begun ? commands.filter(({ command }) => `/${command}`.startsWith(typed.toLowerCase())) : []);
    },
    handleKey(event) {
      const chosen = found[at];
      if (chosen === undefined) return false;
      switch (event.key) {
        case 'ArrowDown':
          at = (at + 1) % found.length;
          break;
        case 'ArrowUp':
          at = (at + found.length - 1) % found.length;
          break;
        case 'Tab':
        case 'Enter':
          if (event.shiftKey) return false;
          event.preventDefault();
          choose(chosen);
          return true;
        default:
          return false;
      }
      event.preventDefault();
      mark();
      return true;
    },
    isOpen: () => found.length > 0,
    close() {
      if (found.length === 0) return false;
      closedFor = field.value;
      show([]);
      return true;
    },
  };
}

/** The keyboard that the bot gave below the field, by the newest message that says something of one. */
function replyKeyboard(model: Model, write: (text: string) => void): { update(chat: Chat | undefined): void } {
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
