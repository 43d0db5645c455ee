import { api } from './api.js';
import { attachments } from './attachments.js';
import { commandMenu } from './command-menu.js';
import { byId, el, icon } from './dom.js';
import type { Chat, Model } from './model.js';
import { replyKeyboard } from './reply-keyboard.js';
import type { WireMessage } from './wire.js';
import { nameOf, previewOf } from './words.js';

const TEXT_MAX = 4096;

/** What the user writes with: the field, the menu of commands, the bot's keyboard, START and Unblock. */
export interface Composer {
  /** Writes a text to a chat, default the open one. */
  write(text: string, chat?: number): Promise<void>;
  /** What is written next answers a message. */
  reply(message: WireMessage): void;
  /** What is written next takes the place of a message's text. */
  edit(message: WireMessage): void;
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
  const note = byId('note');
  const readOnly = byId('read-only');
  const send = byId('send') as HTMLButtonElement;
  const commandsButton = byId('commands-button');
  const drafts = new Map<number, string>();
  const menu = commandMenu(field, ({ command, botUsername }) => {
    // Where several bots may listen, the command says which is meant.
    void write(model.open?.info.type === 'private' ? `/${command}` : `/${command}@${botUsername}`);
  });
  const keyboard = replyKeyboard(model, (text) => void write(text));
  let shown: string | undefined;
  let aim: Aim | undefined;

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
  const takeAim = (next: Aim | undefined): void => {
    if (aim?.kind === 'edit' || next?.kind === 'edit') setText(next?.kind === 'edit' ? (next.message.text ?? '') : '');
    aim = next;
    note.replaceChildren(...(next === undefined ? [] : noteParts(next, () => takeAim(undefined))));
    note.hidden = next === undefined;
    if (next !== undefined) field.focus();
  };
  const write = async (text: string, to?: number): Promise<void> => {
    const { person } = model;
    const chat = to ?? model.open?.info.id;
    if (chat !== undefined && person !== undefined) await model.attempt(api.write(person.id, chat, text));
  };
  const submit = async (): Promise<void> => {
    const { open: chat, person } = model;
    const text = field.value;
    if (chat === undefined || person === undefined || text.trim() === '') return;
    const { id } = chat.info;
    const aimed = aim;
    const work =
      aimed?.kind === 'edit'
        ? api.editText(person.id, id, aimed.message.messageId, text)
        : api.write(person.id, id, text, aimed?.message.messageId);
    takeAim(undefined);
    setText('');
    const written = await model.attempt(work);
    // What was not taken is not lost.
    if (written !== undefined || model.open?.info.id !== id || field.value !== '') return;
    if (aimed !== undefined) takeAim(aimed);
    setText(text);
  };

  attachments(model, () => {
    const text = field.value.trim();
    setText('');
    return text;
  });
  field.maxLength = TEXT_MAX;
  field.addEventListener('input', () => {
    fit();
    menu.update(model.open?.commands ?? []);
  });
  field.addEventListener('keydown', (event) => {
    if (event.isComposing || menu.handleKey(event)) return;
    if (event.key === 'ArrowUp' && field.value === '') {
      const last = model.open?.messages?.findLast(
        ({ from, text }) => from.id === model.person?.id && text !== undefined,
      );
      if (last === undefined) return;
      event.preventDefault();
      takeAim({ kind: 'edit', message: last });
    }
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
      if (before !== undefined) drafts.set(Number(before), aim?.kind === 'edit' ? '' : field.value);
      shown = key;
      takeAim(undefined);
      setText(drafts.get(chat?.info.id ?? 0) ?? '');
    }
    if (chat === undefined) return;
    const stage = stageOf(chat);
    const wasHidden = form.hidden;
    const focused = [start, unblock].find((button) => button === document.activeElement);
    start.hidden = stage !== 'start';
    unblock.hidden = stage !== 'blocked';
    form.hidden = stage !== 'write';
    readOnly.hidden = stage !== 'read';
    if (stage === 'read') readOnly.textContent = readOnlyWords(chat);
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
  return {
    write,
    focus,
    reply: (message) => takeAim({ kind: 'reply', message }),
    edit: (message) => takeAim({ kind: 'edit', message }),
    dismiss() {
      if (menu.close()) return true;
      if (aim === undefined) return false;
      takeAim(undefined);
      return true;
    },
  };
}

/** What is written next is meant for. */
interface Aim {
  readonly kind: 'reply' | 'edit';
  readonly message: WireMessage;
}

function noteParts({ kind, message }: Aim, cancel: () => void): HTMLElement[] {
  const attributes = { type: 'button', 'aria-label': 'Cancel', title: 'Cancel' };
  return [
    el(
      'div',
      { class: 'quote' },
      el('span', { class: 'quote-name' }, kind === 'edit' ? 'Edit' : `Reply to ${nameOf(message.from)}`),
      el('span', { class: 'quote-words' }, previewOf(message)),
    ),
    el('button', { class: 'icon-button', attributes, on: { click: cancel } }, icon('close')),
  ];
}

function readOnlyWords({ info }: Chat): string {
  return info.type === 'channel' ? 'Only administrators write in this channel.' : 'You may not write here.';
}

function stageOf({ info, messages }: Chat): 'write' | 'read' | 'start' | 'blocked' | 'loading' {
  if (info.blocked) return 'blocked';
  if (info.canWrite === false) return 'read';
  if (messages === undefined) return 'loading';
  return info.type === 'private' && messages.length === 0 ? 'start' : 'write';
}
