import { api } from './api.js';
import { avatar } from './avatar.js';
import { arrowKeys, byId, el } from './dom.js';
import { showError } from './notices.js';
import type { WirePerson } from './wire.js';

const PAGE = 50;
const NAMES = [
  'Ada',
  'Grace',
  'Edsger',
  'Barbara',
  'Alan',
  'Margaret',
  'Dennis',
  'Katherine',
  'Donald',
  'Radia',
  'Niklaus',
  'Hedy',
];

/** Makes a person with a name of its own, in the browser's language, who has never written to a bot. Rejects with an ApiError. */
export async function makePerson(firstName?: string, username?: string): Promise<WirePerson> {
  const languageCode = navigator.language.split('-')[0];
  const [newest] = await api.people();
  const name = firstName ?? NAMES[(newest?.id ?? 0) % NAMES.length] ?? 'Ada';
  return api.makePerson({
    firstName: name,
    ...(username !== undefined && { username }),
    ...(languageCode !== undefined && /^[A-Za-z]{2,35}$/.test(languageCode) && { languageCode }),
  });
}

/** Asks who the user wants to be: one of the people there are, or a new one. `pick` hears who. */
export function peopleDialog(pick: (person: WirePerson) => void): () => void {
  const dialog = byId('people-dialog') as HTMLDialogElement;
  const list = byId('people');
  const more = byId('people-more') as HTMLButtonElement;
  const form = byId('person-form') as HTMLFormElement;
  let oldest: number | undefined;

  const choose = (person: WirePerson): void => {
    dialog.close();
    pick(person);
  };
  const load = async (): Promise<void> => {
    try {
      const people = await api.people(oldest);
      oldest = people.at(-1)?.id;
      more.hidden = people.length < PAGE;
      list.append(...people.map((person) => personRow(person, choose)));
    } catch (error) {
      showError(error);
    }
  };
  arrowKeys(list, 'button');
  more.addEventListener('click', () => void load());
  byId('people-close').addEventListener('click', () => dialog.close());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const wish = (name: string): string | undefined => {
      const value = fields.get(name);
      return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined;
    };
    makePerson(wish('firstName'), wish('username')?.replace(/^@/, '')).then((person) => {
      form.reset();
      choose(person);
    }, showError);
  });
  return () => {
    list.replaceChildren();
    oldest = undefined;
    void load();
    dialog.showModal();
  };
}

function personRow(person: WirePerson, choose: (person: WirePerson) => void): HTMLElement {
  const detail = person.username === undefined ? String(person.id) : `@${person.username} · ${person.id}`;
  const button = el(
    'button',
    { class: 'person-row', attributes: { type: 'button' }, on: { click: () => choose(person) } },
    avatar(person.id, person.firstName),
    el(
      'span',
      { class: 'chat-words' },
      el('span', { class: 'chat-title' }, person.firstName),
      el('span', { class: 'chat-preview' }, detail),
    ),
  );
  return el('li', {}, button);
}
