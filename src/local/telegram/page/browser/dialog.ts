import { el, icon } from './dom.js';

/** A dialog that is open. */
export interface OpenDialog {
  readonly body: HTMLElement;
  close(): void;
}

let opened = 0;

/** Opens a dialog under a title; it closes by its button and by Esc, and gives the focus back. */
export function openDialog(title: string, ...children: readonly Node[]): OpenDialog {
  opened += 1;
  const id = `dialog-title-${opened}`;
  const attributes = { type: 'button', 'aria-label': 'Close', title: 'Close' };
  const close = (): void => dialog.close();
  const body = el('div', { class: 'dialog-body' }, ...children);
  const dialog = el(
    'dialog',
    { class: 'sheet', attributes: { 'aria-labelledby': id } },
    el(
      'header',
      { class: 'dialog-head' },
      el('h2', { attributes: { id } }, title),
      el('button', { class: 'icon-button', attributes, on: { click: close } }, icon('close')),
    ),
    body,
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return { body, close };
}

/** What a form holds under a name, trimmed; '' when it is not there. */
export function fieldText(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === 'string' ? value.trim() : '';
}
