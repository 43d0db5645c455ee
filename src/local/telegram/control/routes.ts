import { isObject, parseJson, UNREADABLE_JSON } from '../bot-api/arguments.js';
import type { Exchange } from '../http/listener.js';
import { CHAT_PAGE } from '../page/local-page.js';
import { getBots, postBot } from './bots.js';
import { type LocalRoutesDeps, type Reply, type Route, refuse } from './call.js';
import { getStats, postReset, putFaults } from './faults.js';
import { getMessages, postMessage } from './messages.js';
import { deleteBlock, postPeople, putBlock, putBlocks } from './people.js';

/** All routes: method, family, and the number of path segments below the family, if any. */
const ROUTES: Readonly<Record<string, Route>> = {
  'GET bots': getBots,
  'POST bots': postBot,
  'POST people': postPeople,
  'PUT blocks': putBlocks,
  'PUT blocks/2': putBlock,
  'DELETE blocks/2': deleteBlock,
  'POST messages': postMessage,
  'GET messages': getMessages,
  'PUT faults': putFaults,
  'GET stats': getStats,
  'POST reset': postReset,
};
const NOT_BUILT = 'groups, channels, members and presses are not built yet in the local Telegram';
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
