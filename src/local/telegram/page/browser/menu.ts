import { arrowKeys, el, icon } from './dom.js';

/** One line of a menu. */
export interface MenuItem {
  readonly icon: string;
  readonly label: string;
  readonly danger?: boolean;
  readonly run: () => void;
}

/** Opens a menu at a button; it closes by a choice, by Esc and by a press elsewhere, and gives the focus back. */
export function openMenu(anchor: HTMLElement, items: readonly MenuItem[]): void {
  const menu = el('div', { class: 'menu', attributes: { role: 'menu', popover: 'auto' } });
  for (const item of items) {
    const choose = (): void => {
      menu.hidePopover();
      item.run();
    };
    const attributes = { type: 'button', role: 'menuitem' };
    const name = item.danger === true ? 'menu-item danger' : 'menu-item';
    menu.append(el('button', { class: name, attributes, on: { click: choose } }, icon(item.icon), item.label));
  }
  arrowKeys(menu, '.menu-item');
  menu.addEventListener('toggle', (event) => {
    if ((event as ToggleEvent).newState === 'open') return;
    if (menu.contains(document.activeElement)) anchor.focus();
    menu.remove();
  });
  document.body.append(menu);
  menu.showPopover();
  const box = anchor.getBoundingClientRect();
  menu.style.top = `${box.bottom + 4}px`;
  menu.style.right = `${Math.max(8, document.documentElement.clientWidth - box.right)}px`;
  menu.querySelector<HTMLElement>('.menu-item')?.focus();
}
