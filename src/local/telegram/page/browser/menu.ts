import { arrowKeys, el, icon } from './dom.js';

const EDGE_PX = 8;

/** One line of a menu. */
export interface MenuItem {
  readonly icon: string;
  readonly label: string;
  readonly danger?: boolean;
  readonly run: () => void;
}

/** Opens a menu below a button, or at a point of the window; it closes by a choice, by Esc and by a press elsewhere, and gives the focus back. */
export function openMenu(
  anchor: HTMLElement,
  items: readonly MenuItem[],
  at?: { readonly clientX: number; readonly clientY: number },
): void {
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
  const { clientWidth, clientHeight } = document.documentElement;
  const left = at?.clientX ?? box.right - menu.offsetWidth;
  const top = at?.clientY ?? box.bottom + 4;
  menu.style.left = `${Math.max(EDGE_PX, Math.min(left, clientWidth - menu.offsetWidth - EDGE_PX))}px`;
  menu.style.top = `${Math.max(EDGE_PX, Math.min(top, clientHeight - menu.offsetHeight - EDGE_PX))}px`;
  menu.querySelector<HTMLElement>('.menu-item')?.focus();
}
