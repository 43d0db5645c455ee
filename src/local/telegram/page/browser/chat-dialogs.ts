import { api } from './api.js';
import { avatar } from './avatar.js';
import { fieldText, openDialog } from './dialog.js';
import { arrowKeys, el } from './dom.js';
import type { Model } from './model.js';
import { showError, toast } from './notices.js';
import { makePerson } from './people-dialog.js';
import type { WireChat, WireLink, WireMember } from './wire.js';
import { counted, nameOf, standingWords, typeWords } from './words.js';

const TYPES = ['supergroup', 'group', 'channel'] as const;

/** Makes a group, supergroup or channel, or joins one: by its invite link, or one of those there are. `show` is called with what to open. */
export function openNewChat(model: Model, show: (chat: number) => void): void {
  const { person } = model;
  if (person === undefined) return;
  const form = newChatForm(model);
  const join = el(
    'form',
    { class: 'dialog-form one-line' },
    el('input', {
      attributes: {
        name: 'link',
        placeholder: 'Invite link',
        'aria-label': 'Invite link',
        autocomplete: 'off',
        required: true,
      },
    }),
    el('button', { class: 'secondary', attributes: { type: 'submit' } }, 'Join'),
  );
  const others = el('ul', { class: 'rows' });
  const dialog = openDialog('New group or channel', form, el('h3', {}, 'Or join one'), join, others);
  const done = (chat: number): void => {
    dialog.close();
    show(chat);
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const wish = { type: fieldText(form, 'type'), title: fieldText(form, 'title'), ownerId: person.id };
    const bots = new FormData(form).getAll('bot').map(Number);
    makeChat(wish, bots).then(done, showError);
  });
  join.addEventListener('submit', (event) => {
    event.preventDefault();
    const link = fieldText(join, 'link');
    dialog.close();
    openInvite(model, link, show);
  });
  arrowKeys(others, 'button');
  api.otherChats(person.id).then((chats) => {
    others.append(
      ...chats.map((chat) =>
        el(
          'li',
          {},
          chatRow(chat, () => void joinPlainly(model, chat.id, done)),
        ),
      ),
    );
  }, showError);
}

async function makeChat(
  wish: { type: string; title: string; ownerId: number },
  bots: readonly number[],
): Promise<number> {
  const { id } = await api.makeChat(wish);
  for (const bot of bots) await api.putMember(id, bot, wish.type === 'channel' ? { status: 'administrator' } : {});
  return id;
}

async function joinPlainly(model: Model, chat: number, done: (chat: number) => void): Promise<void> {
  const { person } = model;
  if (person === undefined) return;
  if ((await model.attempt(api.putMember(chat, person.id, {}))) === undefined) return;
  await model.refresh();
  done(chat);
}

/** Shows where an invite link leads, and follows it when the user wants to. */
export function openInvite(model: Model, link: string, show: (chat: number) => void): void {
  api.invite(link).then((invite) => {
    const label = invite.createsJoinRequest ? 'Request to join' : 'Join';
    const join = el('button', { class: 'primary', attributes: { type: 'button', autofocus: true } }, label);
    const about = invite.createsJoinRequest
      ? 'An administrator decides who comes in.'
      : `You are invited to this ${invite.type}.`;
    const dialog = openDialog(invite.title, el('p', { class: 'dim' }, about), join);
    join.addEventListener('click', () => {
      dialog.close();
      void follow(model, invite.id, link, show);
    });
  }, showError);
}

async function follow(model: Model, chat: number, inviteLink: string, show: (chat: number) => void): Promise<void> {
  const { person } = model;
  if (person === undefined) return;
  const entry = await model.attempt(api.putMember(chat, person.id, { inviteLink }));
  if (entry === undefined) return;
  if (entry.status === 'requested') {
    toast('Asked. The chat shows up here once you are let in.');
    return;
  }
  await model.refresh();
  show(chat);
}

/** Shows who is in the open chat, and lets its owner add bots and people and see the invite links. */
export function openChatInfo(model: Model): void {
  const { open, person } = model;
  if (open === undefined || person === undefined) return;
  const { info } = open;
  const runs = info.status === 'creator' || info.status === 'administrator';
  const members = el('ul', { class: 'rows', attributes: { 'aria-label': 'Members' } });
  const links = el('ul', { class: 'links' });
  const add = el('div', { class: 'dialog-buttons' });
  openDialog(info.title, el('p', { class: 'dim' }, typeWords(info)), add, links, members);
  const load = async (): Promise<void> => {
    const found = await model.attempt(api.members(info.id, person.id));
    if (found === undefined) return;
    members.replaceChildren(...found.map(memberRow));
    if (!runs) return;
    const present = new Set(found.map(({ user }) => user.id));
    const bots = model.chats.filter((chat) => chat.info.type === 'private' && !present.has(chat.info.id));
    const status = info.type === 'channel' ? { status: 'administrator' } : {};
    add.replaceChildren(
      ...bots.map((bot) => addButton(`Add ${bot.info.title}`, () => api.putMember(info.id, bot.info.id, status))),
      addButton('Add a new person', async () => api.putMember(info.id, (await makePerson()).id, {})),
    );
    const holding = await model.attempt(api.links(info.id, person.id));
    links.replaceChildren(...(holding ?? []).map(linkRow));
  };
  function addButton(label: string, run: () => Promise<unknown>): HTMLElement {
    const click = (): void => void model.attempt(run()).then(load);
    return el('button', { class: 'secondary', attributes: { type: 'button' }, on: { click } }, label);
  }
  void load();
}

function memberRow({ user, status }: WireMember): HTMLElement {
  return el(
    'li',
    { class: 'row' },
    avatar(user.id, nameOf(user)),
    el(
      'span',
      { class: 'chat-words' },
      el('span', { class: 'chat-title' }, nameOf(user)),
      el(
        'span',
        { class: 'chat-preview' },
        user.is_bot === true ? `bot · ${standingWords(status)}` : standingWords(status),
      ),
    ),
  );
}

function linkRow({ link, name, createsJoinRequest }: WireLink): HTMLElement {
  const copy = (): void => void navigator.clipboard.writeText(link).then(() => toast('Copied.'), showError);
  const about = [name, createsJoinRequest ? 'asks to join' : ''].filter(Boolean).join(' · ');
  return el(
    'li',
    {},
    el('button', { class: 'text-button', attributes: { type: 'button', title: 'Copy' }, on: { click: copy } }, link),
    about === '' ? undefined : el('span', { class: 'dim' }, ` ${about}`),
  );
}

function chatRow(chat: WireChat, run: () => void): HTMLElement {
  const detail = chat.requested === true ? 'you have asked to join' : counted(chat.members ?? 0, 'member');
  return el(
    'button',
    { class: 'row', attributes: { type: 'button', 'aria-label': `Join ${chat.title}` }, on: { click: run } },
    avatar(chat.id, chat.title),
    el(
      'span',
      { class: 'chat-words' },
      el('span', { class: 'chat-title' }, chat.title),
      el('span', { class: 'chat-preview' }, `${chat.type} · ${detail}`),
    ),
    el('span', { class: 'row-action' }, 'Join'),
  );
}

function newChatForm(model: Model): HTMLFormElement {
  const bots = model.chats.filter(({ info }) => info.type === 'private');
  return el(
    'form',
    { class: 'dialog-form' },
    el('input', {
      class: 'whole',
      attributes: {
        name: 'title',
        placeholder: 'Title',
        'aria-label': 'Title',
        maxlength: 128,
        required: true,
        autocomplete: 'off',
      },
    }),
    choices(
      'Type',
      TYPES.map((type, place) => choice('radio', 'type', type, type, place === 0)),
    ),
    choices(
      'Bots in it',
      bots.map(({ info }, place) => choice('checkbox', 'bot', String(info.id), info.title, place === 0)),
    ),
    el('button', { class: 'primary', attributes: { type: 'submit' } }, 'Create'),
  );
}

function choices(legend: string, children: readonly HTMLElement[]): HTMLElement {
  return el('fieldset', {}, el('legend', {}, legend), ...children);
}

function choice(type: string, name: string, value: string, label: string, checked: boolean): HTMLElement {
  return el(
    'label',
    { class: 'choice' },
    el('input', { attributes: { type, name, value, checked } }),
    el('span', {}, label),
  );
}
