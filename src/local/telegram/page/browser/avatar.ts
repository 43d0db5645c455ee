import { el } from './dom.js';
import { initialsOf } from './words.js';

const TINTS = 7;

/** Which of the page's tints is someone's. */
export const inkOf = (id: number): number => Math.abs(id) % TINTS;

/** A round picture that stands for someone: initials on a tint of its own. For the eye only. */
export function avatar(id: number, name: string): HTMLElement {
  return el('span', { class: `avatar tint-${inkOf(id)}`, attributes: { 'aria-hidden': 'true' } }, initialsOf(name));
}
