import { byId, el } from './dom.js';

const SHOWN_MS = 5000;

/** Shows a short text for some seconds; an error is read out at once. */
export function toast(text: string, kind: 'info' | 'error' = 'info'): void {
  const element = el(
    'div',
    { class: `toast ${kind}`, attributes: { role: kind === 'error' ? 'alert' : 'status' } },
    text,
  );
  byId('toasts').append(element);
  setTimeout(() => element.remove(), SHOWN_MS);
}

/** Tells the user what went wrong. */
export function showError(error: unknown): void {
  toast(error instanceof Error ? error.message : String(error), 'error');
}

/** Shows a text that stays until it is closed. */
export function showAlert(text: string): void {
  const close = el('button', { class: 'primary', attributes: { type: 'button', autofocus: true } }, 'OK');
  const dialog = el(
    'dialog',
    { class: 'alert', attributes: { 'aria-label': 'Message of the bot' } },
    el('p', {}, text),
    close,
  );
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
