import { byId, el } from './dom.js';
import type { WireCommand } from './wire.js';

/** The list of commands above the field. */
export interface CommandMenu {
  /** Shows those that what is typed begins. */
  update(commands: readonly WireCommand[]): void;
  /** Whether a key was the menu's. */
  handleKey(event: KeyboardEvent): boolean;
  isOpen(): boolean;
  /** False when it was closed already. */
  close(): boolean;
}

/** Sets up the list of commands, open while the field holds the beginning of one. */
export function commandMenu(field: HTMLTextAreaElement, run: (command: WireCommand) => void): CommandMenu {
  const list = byId('command-menu');
  let found: readonly WireCommand[] = [];
  let at = 0;
  let closedFor: string | undefined;

  const choose = (command: WireCommand): void => {
    field.value = '';
    field.dispatchEvent(new Event('input'));
    field.focus();
    run(command);
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
