import {
  type AdminRight,
  CHAT_TYPES,
  type Chat,
  type ChatType,
  isPresent,
  type Member,
  PLAIN_MEMBER,
  rightsOf,
  standing,
} from '../world/chats.js';
import { answerRequest, enterByLink } from '../world/invite-links.js';
import { deleteChat, enteredStanding, leftStanding, makeChat, setStanding, upgradeChat } from '../world/membership.js';
import type { World } from '../world/world.js';
import {
  type Call,
  done,
  findGroup,
  findPerson,
  isUsername,
  type LocalRoutesDeps,
  type Reply,
  readId,
  refuse,
  strangeField,
} from './call.js';

const TITLE_MAX = 128;

/** POST chats: makes a group, supergroup or channel with its owner. */
export function postChat({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['type', 'title', 'ownerId', 'username']);
  if (strange !== undefined) return refuse(strange);
  const { username } = body;
  const type = CHAT_TYPES.find((known) => known === body.type);
  if (type === undefined) return refuse(`type: expected one of ${CHAT_TYPES.join(', ')}`);
  const title = typeof body.title === 'string' ? body.title.trim() : '';
  if (title === '' || title.length > TITLE_MAX) return refuse(`title: expected a text of 1 to ${TITLE_MAX} characters`);
  const ownerId = findPerson(world, 'ownerId', body.ownerId);
  if (typeof ownerId === 'string') return refuse(ownerId);
  if (!isUsername(username)) return refuse('username: expected 1 to 32 of A-Z a-z 0-9 _');
  if (username !== undefined) {
    if (type === 'group') return refuse('username: a basic group has none');
    if (world.state.chats.byUsername.has(username.toLowerCase())) return refuse('username: taken by another chat');
  }
  return done({ id: makeChat(world, { type, title, ownerId, username }, clock.now()).id });
}

/** PUT chats/:id/members/:userId: someone comes in, or gets another standing. */
export function putMember(deps: LocalRoutesDeps, { path, body }: Call): Reply {
  const { world, clock } = deps;
  const strange = strangeField(body, ['status', 'rights', 'inviteLink']);
  if (strange !== undefined) return refuse(strange);
  const found = findMember(world, path);
  if (typeof found === 'string') return refuse(found);
  const { chat, user } = found;
  const now = clock.now();
  if (body.inviteLink !== undefined) return enter(world, chat, user, body, now);
  const old = standing(chat, user, now);
  if (old.status === 'creator') return refuse('userId: the owner stays what he is');
  const isBot = world.state.bots.has(user);
  const { status = isBot && chat.type === 'channel' ? 'administrator' : 'member' } = body;
  if (status !== 'member' && status !== 'administrator') return refuse('status: expected member or administrator');
  if (isBot && chat.type === 'channel' && status === 'member') {
    return refuse('status: a bot can only be an administrator of a channel');
  }
  const rights = readRights(chat.type, status, body.rights);
  if (typeof rights === 'string') return refuse(rights);
  const owner = chat.making.ownerId;
  if (!isBot && old.status === 'kicked' && chat.type !== 'group') return refuse('userId: banned from the chat');
  const entered = isPresent(old) ? PLAIN_MEMBER : enteredStanding(chat, user, now);
  const plain = old.status === 'member' ? old : entered;
  const next: Member = status === 'member' ? plain : { status, rights, promotedBy: owner };
  // People come by their own will; bots are added, and standings changed, by the owner.
  const by = isBot || isPresent(old) || status === 'administrator' ? owner : user;
  setStanding(world, chat, user, by, next, now);
  return done({ status: next.status });
}

/** Someone follows an invite link. */
function enter(
  world: World,
  chat: Chat,
  user: number,
  { inviteLink, status, rights }: Call['body'],
  now: number,
): Reply {
  if (world.state.bots.has(user)) return refuse('inviteLink: a bot is added without one');
  if (typeof inviteLink !== 'string') return refuse('inviteLink: expected an invite link of the chat');
  if (status !== undefined || rights !== undefined) {
    return refuse(`${status === undefined ? 'rights' : 'status'}: not together with inviteLink`);
  }
  const entry = enterByLink(world, chat, user, inviteLink, now);
  return 'fault' in entry ? refuse(`inviteLink: ${entry.fault}`) : done(entry);
}

/** DELETE chats/:id/members/:userId: someone leaves, or takes his request to join back; a bot is put out by the owner. */
export function deleteMember({ world, clock }: LocalRoutesDeps, { path }: Call): Reply {
  const found = findMember(world, path);
  if (typeof found === 'string') return refuse(found);
  const { chat, user } = found;
  const now = clock.now();
  const old = standing(chat, user, now);
  if (old.status === 'creator') return refuse('userId: the owner cannot leave');
  if (!isPresent(old)) {
    if (!chat.requests.has(user)) return refuse(`userId: ${user} is not in the chat`);
    answerRequest(world, chat, user, user, false, now);
    return done({ status: old.status });
  }
  const isBot = world.state.bots.has(user);
  const next: Member = isBot ? { status: 'kicked', until: 0 } : leaving(chat, old);
  setStanding(world, chat, user, isBot ? chat.making.ownerId : user, next, now);
  return done({ status: next.status });
}

/** The standing of a person who leaves; restrictions outlast it. */
function leaving(chat: Chat, old: Member): Member {
  return old.status === 'restricted' ? { ...old, present: false } : leftStanding(chat, false);
}

/** POST chats/:id/upgrade: a group becomes a supergroup. */
export function postUpgrade({ world, clock }: LocalRoutesDeps, { path, body }: Call): Reply {
  const strange = strangeField(body, []);
  if (strange !== undefined) return refuse(strange);
  const chat = findGroup(world, 'id', path[0]);
  if (typeof chat === 'string') return refuse(chat);
  if (chat.type !== 'group') return refuse('id: expected the id of a group');
  return done({ id: upgradeChat(world, chat, clock.now()).id });
}

/** DELETE chats/:id: deletes a chat for everyone. */
export function deleteWholeChat({ world, clock }: LocalRoutesDeps, { path }: Call): Reply {
  const chat = findGroup(world, 'id', path[0]);
  if (typeof chat === 'string') return refuse(chat);
  deleteChat(world, chat, clock.now());
  return done({ id: chat.id });
}

function findMember(world: World, path: readonly string[]): { chat: Chat; user: number } | string {
  const chat = findGroup(world, 'id', path[0]);
  if (typeof chat === 'string') return chat;
  const user = readId(path[1]);
  if (user === undefined) return 'userId: expected the id of a person or a bot';
  if (!world.state.bots.has(user) && world.state.people.find(user) === undefined) {
    return `userId: nobody made ${user}`;
  }
  return { chat, user };
}

/** Rights of an administrator: those that are wished, else all but to promote and to be anonymous; or the error's text. */
function readRights(type: ChatType, status: string, wish: unknown): AdminRight[] | string {
  const known = rightsOf(type);
  if (wish === undefined) return known.filter((right) => right !== 'can_promote_members' && right !== 'is_anonymous');
  if (status !== 'administrator') return 'rights: only an administrator has rights';
  if (!Array.isArray(wish)) return 'rights: expected an array of rights';
  const names = new Set<unknown>(known);
  const strange = (wish as unknown[]).findIndex((right) => !names.has(right));
  if (strange >= 0) return `rights[${strange}]: expected one of ${known.join(', ')}`;
  return known.filter((right) => right === 'can_manage_chat' || (wish as unknown[]).includes(right));
}
