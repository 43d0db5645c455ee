import { api } from './api.js';
import { avatar } from './avatar.js';
import { botPanel, isRefusal, panelLabel } from './bot-panel.js';
import { bubbleActions } from './bubble-actions.js';
import { openNewChat } from './chat-dialogs.js';
import { chatList } from './chat-list.js';
import { composer } from './composer.js';
import { conversation } from './conversation.js';
import { byId } from './dom.js';
import { Live } from './live.js';
import { Model } from './model.js';
import { showError } from './notices.js';
import { makePerson, openPeople } from './people-dialog.js';
import type { WirePerson } from './wire.js';

const LAST_PERSON = 'posthorn.local.person';
const PANEL = 'posthorn.local.panel';
const PLACE = /^#(\d+)(?:\/(-?\d+))?$/;

const app = byId('app');
const model = new Model(showError);
const live = new Live({
  onEvent: (name, data) => model.take(name, data),
  onConnection: (connection) => model.setConnection(connection),
});
const writing = composer(model);

/** Goes to the first chat of a person. */
function enter(person: WirePerson): void {
  void api.chats(person.id).then(([first]) => {
    location.hash = first === undefined ? `#${person.id}` : `#${person.id}/${first.id}`;
  }, showError);
}

/** Shows what the address says: `#person/chat`, where either may be missing. */
async function follow(): Promise<void> {
  const [, personId, chatId] = PLACE.exec(location.hash) ?? [];
  const id = personId === undefined ? undefined : Number(personId);
  if (id !== model.person?.id) {
    const person = id === undefined ? undefined : await model.attempt(api.person(id));
    if (id !== undefined && person === undefined) {
      location.replace('#');
      return;
    }
    model.become(person);
    if (id !== undefined) localStorage.setItem(LAST_PERSON, String(id));
  }
  live.follow(id);
  if (id === undefined) {
    await welcome();
    return;
  }
  if (model.chats.length === 0) await model.refresh();
  await model.show(chatId === undefined ? undefined : Number(chatId));
  if (chatId !== undefined) writing.focus();
}

/** Nobody is picked: the one of last time, else the choice, else a first person is to be made. */
async function welcome(): Promise<void> {
  const people = await model.attempt(api.people());
  if (people === undefined) return;
  const last = Number(localStorage.getItem(LAST_PERSON) ?? 0);
  if (location.hash === '' && last > 0) {
    const person = await model.attempt(api.person(last));
    if (person !== undefined) {
      enter(person);
      return;
    }
    localStorage.removeItem(LAST_PERSON);
  }
  byId('nobody').dataset.people = people.length > 0 ? 'some' : 'none';
  byId('pick-person').hidden = people.length === 0;
  byId('nobody').hidden = false;
  byId('make-person').focus();
}

function show(chat: number): void {
  if (model.person !== undefined) location.hash = `#${model.person.id}/${chat}`;
}

conversation(model, bubbleActions(model, writing, show));
chatList(model);
botPanel(model);

byId('me').addEventListener('click', () => openPeople(enter));
byId('pick-person').addEventListener('click', () => openPeople(enter));
byId('new-chat').addEventListener('click', () => openNewChat(model, show));
byId('make-person').addEventListener('click', () => void makePerson().then(enter, showError));
byId('back').addEventListener('click', () => {
  if (model.person !== undefined) location.hash = `#${model.person.id}`;
});

const panelButtons = [byId('panel-button'), byId('panel-close')];
function setPanel(isOpen: boolean): void {
  app.classList.toggle('with-panel', isOpen);
  byId('panel').hidden = !isOpen;
  panelButtons[0]?.setAttribute('aria-expanded', String(isOpen));
  localStorage.setItem(PANEL, isOpen ? 'open' : '');
}
for (const button of panelButtons) button.addEventListener('click', () => setPanel(byId('panel').hidden !== false));
setPanel(localStorage.getItem(PANEL) === 'open' && matchMedia('(min-width: 1100px)').matches);

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || document.querySelector('dialog[open], [popover]:popover-open') !== null) return;
  if (writing.dismiss()) return;
  const isNarrow = matchMedia('(max-width: 1099px)').matches;
  if (!byId('panel').hidden && (isNarrow || byId('panel').contains(document.activeElement))) {
    setPanel(false);
    byId('panel-button').focus();
  } else if (matchMedia('(max-width: 699px)').matches) byId('back').click();
  else byId('chats').querySelector<HTMLElement>('a[tabindex="0"]')?.focus();
});

let shownPerson: WirePerson | undefined;
model.watch(() => {
  const { person, open, connection } = model;
  app.dataset.pane = open === undefined ? 'list' : 'chat';
  if (person !== undefined) byId('nobody').hidden = true;
  byId('side').hidden = person === undefined;
  byId('chat').hidden = open === undefined;
  byId('no-chat').hidden = person === undefined || open !== undefined;
  const label = panelLabel(model);
  byId('panel-button').setAttribute('aria-label', label);
  byId('panel-button').title = label;
  byId('panel-button').classList.toggle('alarm', model.told.some(isRefusal));
  const state = byId('connection');
  const words = { connecting: 'Connecting…', live: '', lost: 'Connection lost, trying again…' }[connection];
  if (state.textContent !== words) state.textContent = words;
  state.hidden = connection === 'live' || person === undefined;
  if (person !== shownPerson) {
    shownPerson = person;
    byId('me-name').textContent = person?.firstName ?? '';
    byId('me-face').replaceChildren(...(person === undefined ? [] : [avatar(person.id, person.firstName)]));
    if (person === undefined && location.hash !== '') location.replace('#');
  }
});

addEventListener('hashchange', () => void follow());
void follow();
