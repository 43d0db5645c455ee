import { randomBytes } from 'node:crypto';
import { isObject, parseJson, UNREADABLE_JSON } from '../bot-api/arguments.js';
import type { UpdatePolls } from '../bot-api/update-polls.js';
import type { LocalClock } from '../clock.js';
import type { Exchange } from '../http/listener.js';
import { changeFaults } from '../limits/faults.js';
import { CHAT_PAGE } from '../page/local-page.js';
import { findEntities } from '../text/text-entities.js';
import type { Bot } from '../world/bot.js';
import type { PeopleRange } from '../world/people.js';
import type { World } from '../world/world.js';
import { history, messageSeen } from './message-view.js';

const PEOPLE_MAX = 1_000_000;
const TEXT_MAX = 4096;
const NAME_MAX = 64;
const NOT_BUILT = 'groups, channels, members and presses are not built yet in the local Telegram';

/** What the control API works on. */
export interface LocalRoutesDeps {
  readonly world: World;
  readonly clock: LocalClock;
  readonly polls: UpdatePolls;
  readonly random: () => number;
}

/** An answer of the control API: a status and a JSON value. */
interface Reply {
  readonly status: number;
  readonly value: unknown;
}

interface Call {
  readonly query: URLSearchParams;
  readonly body: Record<string, unknown>;
  readonly path: readonly string[];
}

type Route = (deps: LocalRoutesDeps, call: Call) => Reply;

const ROUTES: Readonly<Record<string, Route>> = {
  'GET bots': ({ world }) => done(world.bots().map(showBot)),
  'POST bots': postBot,
  'POST people': postPeople,
  'POST messages': postMessage,
  'GET messages': getMessages,
  'PUT blocks': putBlocks,
  'PUT blocks/2': (deps, call) => block(deps, call, true),
  'DELETE blocks/2': (deps, call) => block(deps, call, false),
  'PUT faults': putFaults,
  'GET stats': ({ world }) => done(world.state.counters),
  'POST reset': postReset,
};
const LATER = new Set(['chats', 'presses']);

/** The control API of docs/contract.md, "Local Telegram": returns what takes a request whose path is `/local` or below. Wrong input is 400 and names the field. That never throws. */
export function createLocalRoutes(deps: LocalRoutesDeps): (exchange: Exchange) => void {
  return (exchange) => {
    const { method, path } = exchange.request;
    if (path === '/local' || path === '/local/') {
      if (method === 'GET' || method === 'HEAD')
        exchange.answer(200, CHAT_PAGE, 'text/html; charset=utf-8', PAGE_HEADERS);
      else sendReply(exchange, refuse('method: expected GET', 405));
      return;
    }
    sendReply(exchange, route(deps, exchange));
  };
}

const PAGE_HEADERS =
  "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nX-Content-Type-Options: nosniff\r\n";

function sendReply(exchange: Exchange, { status, value }: Reply): void {
  exchange.answer(status, JSON.stringify(value));
}

function done(value: unknown): Reply {
  return { status: 200, value };
}

function refuse(error: string, status = 400): Reply {
  return { status, value: { error } };
}

function route(deps: LocalRoutesDeps, { request }: Exchange): Reply {
  const [name = '', ...path] = request.path.slice('/local/'.length).split('/');
  if (LATER.has(name)) return refuse(NOT_BUILT, 501);
  const place = path.length === 0 ? name : `${name}/${path.length}`;
  const run = ROUTES[`${request.method} ${place}`];
  if (run === undefined) {
    const other = Object.keys(ROUTES).some((key) => key.endsWith(` ${place}`));
    return other ? refuse('method: not for this path', 405) : refuse(`path: there is no ${request.path}`, 404);
  }
  const body = request.body.length === 0 ? {} : parseJson(request.body.toString('utf8'));
  if (body === UNREADABLE_JSON) return refuse('body: expected JSON');
  if (!isObject(body)) return refuse('body: expected an object');
  return run(deps, { query: new URLSearchParams(request.query), body, path });
}

/** The first field that is not among the known ones, as an error's text. */
function strangeField(body: Record<string, unknown>, known: readonly string[]): string | undefined {
  const strange = Object.keys(body).find((field) => !known.includes(field));
  return strange === undefined ? undefined : `${strange}: no such field`;
}

function isName(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && value.trim() !== '' && value.length <= NAME_MAX);
}

function isUsername(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && /^\w{1,32}$/.test(value));
}

function showBot({ making: { id, token, username, name } }: Bot): Record<string, unknown> {
  return { id, token, username, name };
}

function postBot({ world, random }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['username', 'name']);
  if (strange !== undefined) return refuse(strange);
  const { username, name } = body;
  if (!isUsername(username)) return refuse('username: expected 1 to 32 of A-Z a-z 0-9 _');
  if (!isName(name)) return refuse(`name: expected a text of 1 to ${NAME_MAX} characters`);
  const taken = world.bots().some(({ making }) => making.username.toLowerCase() === username?.toLowerCase());
  if (taken) return refuse('username: taken by another bot');
  return done(showBot(makeBot(world, random, { username, name, first: false })));
}

/** Makes a bot with a token of its own; names are made up where none is wished. Never throws. */
export function makeBot(
  world: World,
  random: () => number,
  wish: { username?: string | undefined; name?: string | undefined; first: boolean },
): Bot {
  const id = world.state.nextBotId;
  return world.makeBot({
    id,
    token: `${id}:${randomBytes(26).toString('base64url').slice(0, 35)}`,
    username: wish.username ?? (wish.first ? 'posthorn_local_bot' : `local_${id % 1_000_000}_bot`),
    name: wish.name ?? (wish.first ? 'Posthorn' : `Bot ${id % 1_000_000}`),
    firstUpdateId: 100_000_000 + Math.floor(random() * 800_000_000),
    first: wish.first,
  });
}

function postPeople({ world }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['firstName', 'username', 'languageCode', 'started', 'count']);
  if (strange !== undefined) return refuse(strange);
  const { firstName, username, languageCode, started = true, count } = body;
  if (!isName(firstName)) return refuse(`firstName: expected a text of 1 to ${NAME_MAX} characters`);
  if (!isUsername(username)) return refuse('username: expected 1 to 32 of A-Z a-z 0-9 _');
  if (languageCode !== undefined && (typeof languageCode !== 'string' || !/^[A-Za-z-]{2,35}$/.test(languageCode))) {
    return refuse('languageCode: expected a language code');
  }
  if (typeof started !== 'boolean') return refuse('started: expected true or false');
  if (count !== undefined && !isWhole(count, 1, PEOPLE_MAX)) {
    return refuse(`count: expected a whole number of 1 to ${PEOPLE_MAX}`);
  }
  const { people } = world.state;
  const first = people.nextId;
  const range: PeopleRange = {
    first,
    count: count ?? 1,
    ...(firstName !== undefined && { firstName }),
    ...(username !== undefined && { username }),
    ...(languageCode !== undefined && { languageCode }),
    started,
  };
  world.makePeople(range);
  if (count !== undefined) return done({ ids: Array.from({ length: count }, (_, i) => first + i) });
  return done({ ...people.person(range, first), started });
}

function isWhole(value: unknown, low: number, high: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high;
}

/** An id in a path, a query or a body: digits or a whole number; undefined for anything else. */
function readId(value: unknown): number | undefined {
  const id = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  return isWhole(id, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ? id : undefined;
}

/** The bot that a field names, or the error's text. */
function findBot(world: World, field: string, value: unknown): Bot | string {
  const id = readId(value);
  if (id === undefined) return `${field}: expected the id of a bot`;
  if (id < 0) return `${field}: ${NOT_BUILT}`;
  return world.state.bots.get(id) ?? `${field}: there is no bot ${id}`;
}

/** The id of the person that a field names, or the error's text. */
function findPerson(world: World, field: string, value: unknown): number | string {
  const id = readId(value);
  if (id === undefined) return `${field}: expected the id of a person`;
  return world.state.people.find(id) === undefined ? `${field}: nobody made person ${id}` : id;
}

function postMessage({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['from', 'chat', 'text']);
  if (strange !== undefined) return refuse(strange);
  const person = findPerson(world, 'from', body.from);
  if (typeof person === 'string') return refuse(person);
  const bot = findBot(world, 'chat', body.chat);
  if (typeof bot === 'string') return refuse(bot);
  const text = typeof body.text === 'string' ? body.text.trim() : '';
  if (text === '' || text.length > TEXT_MAX) return refuse(`text: expected a text of 1 to ${TEXT_MAX} characters`);
  const entities = findEntities(text);
  // As the clients' button "restart": who writes to a bot that he blocks lets it in again.
  world.setBlocked(bot, person, false, clock.now());
  const messageId = world.write(bot, person, text, entities.length > 0 ? { entities } : {}, clock.now());
  return done({ messageId });
}

function getMessages({ world }: LocalRoutesDeps, { query }: Call): Reply {
  const strange = strangeField(Object.fromEntries(query), ['chat', 'user', 'after']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'chat', query.get('chat') ?? undefined);
  if (typeof bot === 'string') return refuse(bot);
  const id = findPerson(world, 'user', query.get('user') ?? undefined);
  if (typeof id === 'string') return refuse(id);
  const after = query.has('after') ? readId(query.get('after')) : 0;
  if (after === undefined) return refuse('after: expected a message id');
  const range = world.state.people.find(id);
  if (range === undefined) return refuse(`user: nobody made person ${id}`);
  const parties = { bot, person: world.state.people.person(range, id) };
  return done(
    history(world, bot, id, after)
      .reverse()
      .map((record) => messageSeen(parties, record)),
  );
}

function block({ world, clock }: LocalRoutesDeps, { path }: Call, blocked: boolean): Reply {
  const person = findPerson(world, 'userId', path[0]);
  if (typeof person === 'string') return refuse(person);
  const bot = findBot(world, 'botId', path[1]);
  if (typeof bot === 'string') return refuse(bot);
  world.setBlocked(bot, person, blocked, clock.now());
  return done({ blocked });
}

function putBlocks({ world, clock }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['botId', 'userIds']);
  if (strange !== undefined) return refuse(strange);
  const bot = findBot(world, 'botId', body.botId);
  if (typeof bot === 'string') return refuse(bot);
  const { userIds } = body;
  if (!Array.isArray(userIds)) return refuse('userIds: expected an array of ids');
  const people: number[] = [];
  for (const [place, value] of (userIds as unknown[]).entries()) {
    const person = findPerson(world, `userIds[${place}]`, value);
    if (typeof person === 'string') return refuse(person);
    people.push(person);
  }
  for (const person of people) world.setBlocked(bot, person, true, clock.now());
  return done({ blocked: people.length });
}

function putFaults({ world }: LocalRoutesDeps, { body }: Call): Reply {
  const faults = changeFaults(world.state.faults, body);
  if (typeof faults === 'string') return refuse(faults);
  world.setFaults(faults);
  return done(faults);
}

function postReset({ world, polls }: LocalRoutesDeps, { body }: Call): Reply {
  const strange = strangeField(body, ['world']);
  if (strange !== undefined) return refuse(strange);
  const { world: withWorld = false } = body;
  if (typeof withWorld !== 'boolean') return refuse('world: expected true or false');
  world.reset(withWorld);
  polls.revise();
  return done({ world: withWorld });
}
