import { el } from './dom.js';
import { initialsOf } from './words.js';

const TINTS = 7;

/** A round picture that stands for someone: initials on a tint of its own. For the eye only. */
export function avatar(id: number, name: string): HTMLElement {
  return el(
    'span',
    { class: `avatar tint-${Math.abs(id) % TINTS}`, attributes: { 'aria-hidden': 'true' } },
    initialsOf(name),
  );
}
