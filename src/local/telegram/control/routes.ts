import { isObject, parseJson, UNREADABLE_JSON } from '../bot-api/arguments.js';
import type { Exchange } from '../http/listener.js';
import { sendPage } from '../page/chat-page.js';
import { getBots, postBot, putBot } from './bots.js';
import { findPerson, type LocalRoutesDeps, type Reply, type Route, refuse, strangeField } from './call.js';
import { getInvite, getLinks, getMembers } from './chat-info.js';
import { getChats, getPeople } from './chat-list.js';
import { deleteMember, deleteWholeChat, postChat, postUpgrade, putMember } from './chats.js';
import { getClock, putClock } from './clock.js';
import { getCommands } from './command-menu.js';
import { getStats, postReset, putFaults } from './faults.js';
import { sendFile } from './files.js';
import { deleteMessage, getMessages, postMessage, putMessage } from './messages.js';
import { deleteBlock, deletePerson, postPeople, putBlock, putBlocks } from './people.js';
import { postPress } from './presses.js';

/** All routes; `:name` stands for a segment that the route gets in `path`. */
const ROUTES: Readonly<Record<string, Route>> = {
  'GET bots': getBots,
  'POST bots': postBot,
  'PUT bots/:id': putBot,
  'POST people': postPeople,
  'DELETE people/:userId': deletePerson,
  'GET people': getPeople,
  'PUT blocks': putBlocks,
  'PUT blocks/:userId/:botId': putBlock,
  'DELETE blocks/:userId/:botId': deleteBlock,
  'GET chats': getChats,
  'POST chats': postChat,
  'DELETE chats/:id': deleteWholeChat,
  'POST chats/:id/upgrade': postUpgrade,
  'GET chats/:id/members': getMembers,
  'GET chats/:id/links': getLinks,
  'GET invites': getInvite,
  'PUT chats/:id/members/:userId': putMember,
  'DELETE chats/:id/members/:userId': deleteMember,
  'POST messages': postMessage,
  'PUT messages': putMessage,
  'DELETE messages': deleteMessage,
  'GET messages': getMessages,
  'POST presses': postPress,
  'GET commands': getCommands,
  'PUT clock': putClock,
  'GET clock': getClock,
  'PUT faults': putFaults,
  'GET stats': getStats,
  'POST reset': postReset,
};
const TABLE = Object.entries(ROUTES).map(([key, run]) => {
  const [method = '', pattern = ''] = key.split(' ');
  return { method, segments: pattern.split('/'), run };
});

/** The control API of docs/contract.md, "Local Telegram": returns what takes a request whose path is `/local` or below. Wrong input is 400 and names the field. That never throws. */
export function createLocalRoutes(deps: LocalRoutesDeps): (exchange: Exchange) => void {
  return (exchange) => {
    const { method, path } = exchange.request;
    if (path === '/local' || path === '/local/' || path.startsWith('/local/page/')) {
      if (method === 'GET' || method === 'HEAD') sendPage(exchange);
      else sendReply(exchange, refuse('method: expected GET', 405));
      return;
    }
    if (path === '/local/events') {
      sendEvents(deps, exchange);
      return;
    }
    const file = /^\/local\/files\/([^/]+)$/.exec(path)?.[1];
    if (file !== undefined && method === 'GET' && sendFile(deps.world, file, exchange)) return;
    const reply = route(deps, exchange);
    if (reply instanceof Promise) sendLater(deps, exchange, reply);
    else sendReply(exchange, reply);
  };
}

/** GET events: what happens to a person, as Server-Sent Events, until the connection closes. */
function sendEvents({ world, feed }: LocalRoutesDeps, exchange: Exchange): void {
  const query = new URLSearchParams(exchange.request.query);
  const strange = strangeField(Object.fromEntries(query), ['user']);
  const person = strange ?? findPerson(world, 'user', query.get('user') ?? undefined);
  if (exchange.request.method !== 'GET') sendReply(exchange, refuse('method: expected GET', 405));
  else if (typeof person === 'string') sendReply(exchange, refuse(person));
  else feed.open(exchange, person);
}

function sendReply(exchange: Exchange, { status, value }: Reply): void {
  exchange.answer(status, JSON.stringify(value));
}

function sendLater({ onDefect }: LocalRoutesDeps, exchange: Exchange, reply: Promise<Reply>): void {
  reply
    .catch((error: unknown): Reply => {
      onDefect(error);
      return refuse('Internal Server Error', 500);
    })
    .then((value) => sendReply(exchange, value))
    .catch(onDefect);
}

function route(deps: LocalRoutesDeps, { request }: Exchange): Reply | Promise<Reply> {
  const segments = request.path.slice('/local/'.length).split('/');
  const here = TABLE.filter((entry) => matches(entry.segments, segments));
  const found = here.find(({ method }) => method === request.method);
  if (found === undefined) {
    return here.length > 0
      ? refuse('method: not for this path', 405)
      : refuse(`path: there is no ${request.path}`, 404);
  }
  const body = request.body.length === 0 ? {} : parseJson(request.body.toString('utf8'));
  if (body === UNREADABLE_JSON) return refuse('body: expected JSON');
  if (!isObject(body)) return refuse('body: expected an object');
  const path = segments.filter((_, place) => found.segments[place]?.startsWith(':'));
  return found.run(deps, { query: new URLSearchParams(request.query), body, path });
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, place) => (part.startsWith(':') ? segments[place] !== '' : part === segments[place]))
  );
}
