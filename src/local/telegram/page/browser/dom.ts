/** A child of an element: nothing is left out, a text stays a text. */
type Child = Node | string | undefined;

/** What an element is made with: attributes by name (true is present and empty, false and undefined are left out), and handlers by event. */
export interface Props {
  readonly class?: string | undefined;
  readonly attributes?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
}

/** Makes an element. Texts become text nodes, whatever is in them: there is no way from a text to markup. */
export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  if (props.class !== undefined) element.className = props.class;
  for (const [attribute, value] of Object.entries(props.attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(attribute, value === true ? '' : String(value));
  }
  for (const [event, handler] of Object.entries(props.on ?? {})) element.addEventListener(event, handler);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** An icon of the page's sprite, for the eye only. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** The element of the page with an id. Throws when index.html has none. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found;
}

/** Lets the arrow keys, Home and End move the focus among the elements that a selector finds within a container. */
export function arrowKeys(container: HTMLElement, selector: string): void {
  container.addEventListener('keydown', (event) => {
    const items = [...container.querySelectorAll<HTMLElement>(selector)];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined || items.length === 0) return;
    event.preventDefault();
    items[Math.max(0, Math.min(items.length - 1, to))]?.focus();
  });
}

/** A list of elements kept in step with a list of values: an element is made anew only when its value has changed, and the focus stays where it was. */
export class KeyedList<Value> {
  readonly #container: HTMLElement;
  readonly #make: (value: Value) => HTMLElement;
  readonly #same: (before: Value, now: Value) => boolean;
  #shown = new Map<string, { readonly value: Value; readonly element: HTMLElement }>();

  constructor(
    container: HTMLElement,
    make: (value: Value) => HTMLElement,
    same: (before: Value, now: Value) => boolean,
  ) {
    this.#container = container;
    this.#make = make;
    this.#same = same;
  }

  /** Shows these values in this order, each under a key of its own. */
  show(entries: readonly (readonly [key: string, value: Value])[]): void {
    const shown = new Map<string, { value: Value; element: HTMLElement }>();
    let place: ChildNode | null = this.#container.firstChild;
    for (const [key, value] of entries) {
      const before = this.#shown.get(key);
      const kept = before !== undefined && this.#same(before.value, value);
      const element = kept ? before.element : this.#make(value);
      if (before !== undefined && !kept) {
        if (place === before.element) place = place.nextSibling;
        const focus = focusKeyWithin(before.element);
        before.element.remove();
        this.#container.insertBefore(element, place);
        if (focus !== undefined) element.querySelector<HTMLElement>(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
      } else if (place === element) place = place.nextSibling;
      else this.#container.insertBefore(element, place);
      shown.set(key, { value, element });
    }
    for (const [key, { element }] of this.#shown) if (!shown.has(key)) element.remove();
    this.#shown = shown;
  }
}

/** Which of an element's parts has the focus, by its `data-focus`. */
function focusKeyWithin(element: HTMLElement): string | undefined {
  const active = document.activeElement;
  return active instanceof HTMLElement && element.contains(active) ? active.dataset.focus : undefined;
}
