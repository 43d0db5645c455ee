import { el } from './dom.js';
import { entityRuns, safeHref } from './entity-runs.js';
import type { WireEntity } from './wire.js';

/** What a press on a part of a text does. */
export interface TextActions {
  readonly onCommand: (command: string) => void;
  readonly onMention: (username: string) => void;
  /** Whether the page itself followed the link, such as an invitation. */
  readonly onLink: (href: string) => boolean;
}

const PLAIN: Readonly<Record<string, keyof HTMLElementTagNameMap>> = {
  bold: 'strong',
  italic: 'em',
  underline: 'u',
  strikethrough: 's',
  code: 'code',
  pre: 'pre',
  blockquote: 'blockquote',
  expandable_blockquote: 'blockquote',
};

/** A text with its entities as elements. Nothing in the text is ever read as markup: the entities alone make the formatting. */
export function formattedText(text: string, entities: readonly WireEntity[], actions: TextActions): DocumentFragment {
  const fragment = document.createDocumentFragment();
  const open: { readonly entity: WireEntity; readonly element: HTMLElement }[] = [];
  for (const run of entityRuns(text, entities)) {
    // What both runs are within stays open, the rest is closed.
    let common = 0;
    while (common < open.length && open[common]?.entity === run.entities[common]) common += 1;
    open.length = common;
    for (const entity of run.entities.slice(common)) {
      const element = entityElement(entity, text.slice(entity.offset, entity.offset + entity.length), actions);
      (open.at(-1)?.element ?? fragment).append(element);
      open.push({ entity, element });
    }
    (open.at(-1)?.element ?? fragment).append(run.text);
  }
  return fragment;
}

function entityElement(entity: WireEntity, words: string, actions: TextActions): HTMLElement {
  const plain = PLAIN[entity.type];
  if (plain !== undefined) return el(plain);
  switch (entity.type) {
    case 'spoiler':
      return spoiler();
    case 'bot_command':
      return textButton(() => actions.onCommand(words));
    case 'mention':
      return textButton(() => actions.onMention(words.slice(1)));
    case 'text_link':
      return link(entity.url ?? '', actions);
    case 'url':
      return link(words, actions);
    case 'email':
      return link(`mailto:${words}`, actions);
    case 'text_mention':
    case 'hashtag':
    case 'cashtag':
    case 'phone_number':
      return el('span', { class: 'tag' });
    default:
      return el('span');
  }
}

function textButton(run: () => void): HTMLElement {
  return el('button', { class: 'text-button', attributes: { type: 'button' }, on: { click: run } });
}

function link(address: string, actions: TextActions): HTMLElement {
  const href = safeHref(address);
  if (href === undefined) return el('span');
  const attributes = { href, target: '_blank', rel: 'noopener noreferrer', title: href };
  return el('a', {
    attributes,
    on: {
      click: (event) => {
        if (actions.onLink(href)) event.preventDefault();
      },
    },
  });
}

function spoiler(): HTMLElement {
  const element = el('span', {
    class: 'spoiler',
    attributes: { role: 'button', tabindex: 0, 'aria-label': 'hidden text, press to show' },
  });
  const show = (event: Event): void => {
    if (element.classList.contains('shown')) return;
    if (event instanceof KeyboardEvent && event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    element.classList.add('shown');
    for (const name of ['role', 'tabindex', 'aria-label']) element.removeAttribute(name);
  };
  element.addEventListener('click', show, { capture: true });
  element.addEventListener('keydown', show);
  return element;
}
