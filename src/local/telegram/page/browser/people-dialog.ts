import { api } from './api.js';
import { avatar } from './avatar.js';
import { fieldText, openDialog } from './dialog.js';
import { arrowKeys, el } from './dom.js';
import { showError } from './notices.js';
import type { WirePerson } from './wire.js';

const PAGE = 50;
const NAMES = 'Ada Grace Edsger Barbara Alan Margaret Dennis Katherine Donald Radia Niklaus Hedy'.split(' ');

/** Makes a person with a name of its own, in the browser's language, who has never written to a bot. Rejects with an ApiError. */
export async function makePerson(firstName = '', username = ''): Promise<WirePerson> {
  const languageCode = navigator.language.split('-')[0] ?? '';
  const [newest] = await api.people();
  return api.makePerson({
    firstName: firstName === '' ? (NAMES[(newest?.id ?? 0) % NAMES.length] ?? 'Ada') : firstName,
    ...(username !== '' && { username: username.replace(/^@/, '') }),
    ...(/^[A-Za-z]{2,35}$/.test(languageCode) && { languageCode }),
  });
}

/** Asks who the user wants to be: one of the people there are, or a new one. `pick` hears who. */
export function openPeople(pick: (person: WirePerson) => void): void {
  const list = el('ul', { class: 'rows' });
  const more = el('button', { class: 'secondary', attributes: { type: 'button', hidden: true } }, 'Show more');
  const form = personForm();
  const dialog = openDialog('Who do you want to be?', form, list, more);
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
      list.append(
        ...people.map((person) =>
          el(
            'li',
            {},
            personRow(person, () => choose(person)),
          ),
        ),
      );
    } catch (error) {
      showError(error);
    }
  };
  arrowKeys(list, 'button');
  more.addEventListener('click', () => void load());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    makePerson(fieldText(form, 'firstName'), fieldText(form, 'username')).then(choose, showError);
  });
  void load();
}

/** A row that shows a person and can be pressed. */
function personRow(person: WirePerson, run: () => void): HTMLElement {
  const detail = person.username === undefined ? String(person.id) : `@${person.username} · ${person.id}`;
  return el(
    'button',
    { class: 'row', attributes: { type: 'button' }, on: { click: run } },
    avatar(person.id, person.firstName),
    el(
      'span',
      { class: 'chat-words' },
      el('span', { class: 'chat-title' }, person.firstName),
      el('span', { class: 'chat-preview' }, detail),
    ),
  );
}

function personForm(): HTMLFormElement {
  const field = (name: string, label: string, more: Record<string, string | number>) =>
    el('input', { attributes: { name, placeholder: label, 'aria-label': label, autocomplete: 'off', ...more } });
  return el(
    'form',
    { class: 'dialog-form' },
    field('firstName', 'First name', { maxlength: 64 }),
    field('username', '@username', { maxlength: 33, pattern: '@?\\w{1,32}' }),
    el('button', { class: 'primary', attributes: { type: 'submit' } }, 'Make a person'),
  );
}
