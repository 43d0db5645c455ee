import { Readable } from 'node:stream';
import type { Context } from 'koa';
import { addBot, listBots, removeBot } from '../api/bots.js';
import { createBroadcast, getBroadcast, listBroadcasts, moveBroadcast } from '../api/broadcast.js';
import { dropDeadLetter, getDeadLetter, listDeadLetters, replayDeadLetters } from '../api/dead-letter.js';
import { exportDeliveries, getDelivery, listDeliveries } from '../api/delivery.js';
import { notifyTelegram } from '../api/notify.js';
import { getUser, importUsers, listUsers } from '../api/people.js';
import { sendMessages } from '../api/send-messages.js';
import type { Services } from '../api/services.js';
import { systemTree } from '../api/system-tree.js';
import type { BroadcastMoveName } from '../store/broadcasts.js';
import { mediaType, piecesOf, readJson, requireType } from './body.js';
import type { EventStreams } from './event-streams.js';

/** Most bytes of a JSON body, and of the one of /api/send_messages. */
const BODY_LIMIT = 1_048_576;
const MESSAGES_LIMIT = 14 * 1_048_576;

/** A route behind the API key that works on the store; answers with the body (an object, or a stream of a type it sets) of a 200 or of the status named, or undefined for a 204. */
export interface ApiRoute {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  readonly status?: number;
  readonly handle: (context: Context, services: Services, streams: EventStreams) => Promise<object | undefined>;
}

const idempotencyKey = (context: Context): string | undefined => {
  const header = context.req.headers['idempotency-key'];
  return Array.isArray(header) ? header.join(', ') : header;
};

const param = (context: Context, name: string): string => {
  const { params } = context as unknown as { params: Record<string, string | undefined> };
  return params[name] ?? '';
};

const move = (name: BroadcastMoveName): ApiRoute => ({
  method: 'post',
  path: `/api/broadcasts/:id/${name}`,
  handle: (context, services) => moveBroadcast(services, param(context, 'id'), name),
});

/** A stream of Server-Sent Events; HEAD opens none. */
async function follow(context: Context, services: Services, streams: EventStreams): Promise<object | undefined> {
  const id = param(context, 'id');
  context.type = 'text/event-stream';
  context.set('Cache-Control', 'no-cache, no-transform');
  context.set('X-Accel-Buffering', 'no');
  if (context.method === 'HEAD') return getBroadcast(services, id);
  const lastId = context.get('Last-Event-ID');
  const opened = await streams.open(services, id, lastId, () => context.req.socket.destroy());
  return opened?.stream;
}

/** The routes of the core that need the store, in the order of CONTRACT's table; each is one operation of src/api. */
export const API_ROUTES: readonly ApiRoute[] = [
  {
    method: 'post',
    path: '/api/users/import',
    handle: (context, services) => {
      requireType(context.req, ['application/x-ndjson', 'text/csv']);
      const format = mediaType(context.req) === 'text/csv' ? 'csv' : 'ndjson';
      return importUsers(services, { chunks: piecesOf(context.req), format });
    },
  },
  { method: 'get', path: '/api/users', handle: (context, services) => listUsers(services, { ...context.query }) },
  {
    method: 'get',
    path: '/api/users/:botId/:chatId',
    handle: (context, services) => getUser(services, param(context, 'botId'), param(context, 'chatId')),
  },
  {
    method: 'post',
    path: '/api/notify/telegram',
    status: 202,
    handle: async (context, services) =>
      notifyTelegram(services, await readJson(context.req, BODY_LIMIT), idempotencyKey(context)),
  },
  {
    method: 'post',
    path: '/api/send_messages',
    status: 202,
    handle: async (context, services) =>
      sendMessages(services, await readJson(context.req, MESSAGES_LIMIT), idempotencyKey(context)),
  },
  {
    method: 'get',
    path: '/api/deliveries',
    handle: (context, services) => listDeliveries(services, { ...context.query }),
  },
  {
    method: 'get',
    path: '/api/deliveries/export',
    handle: async (context, services) => {
      const { type, texts } = await exportDeliveries(services, { ...context.query });
      context.type = type;
      return Readable.from(texts);
    },
  },
  {
    method: 'get',
    path: '/api/deliveries/:id',
    handle: (context, services) => getDelivery(services, param(context, 'id')),
  },
  {
    method: 'post',
    path: '/api/broadcasts',
    status: 202,
    handle: async (context, services) =>
      createBroadcast(services, await readJson(context.req, BODY_LIMIT), idempotencyKey(context)),
  },
  {
    method: 'get',
    path: '/api/broadcasts',
    handle: (context, services) => listBroadcasts(services, { ...context.query }),
  },
  {
    method: 'get',
    path: '/api/broadcasts/:id',
    handle: (context, services) => getBroadcast(services, param(context, 'id')),
  },
  move('pause'),
  move('resume'),
  move('cancel'),
  { method: 'get', path: '/api/broadcasts/:id/events', handle: follow },
  { method: 'get', path: '/api/bots', handle: (_context, services) => listBots(services) },
  {
    method: 'post',
    path: '/api/bots',
    handle: async (context, services) => addBot(services, await readJson(context.req, BODY_LIMIT)),
  },
  {
    method: 'delete',
    path: '/api/bots/:botId',
    handle: (context, services) => removeBot(services, param(context, 'botId'), { ...context.query }),
  },
  {
    method: 'get',
    path: '/admin/dlq/:queue',
    handle: (context, services) => listDeadLetters(services, param(context, 'queue'), { ...context.query }),
  },
  {
    method: 'get',
    path: '/admin/dlq/:queue/:id',
    handle: (context, services) => getDeadLetter(services, param(context, 'queue'), param(context, 'id')),
  },
  {
    method: 'post',
    path: '/admin/dlq/:queue/replay',
    handle: async (context, services) =>
      replayDeadLetters(services, param(context, 'queue'), await readJson(context.req, BODY_LIMIT)),
  },
  {
    method: 'delete',
    path: '/admin/dlq/:queue/:id',
    handle: (context, services) => dropDeadLetter(services, param(context, 'queue'), param(context, 'id')),
  },
  { method: 'get', path: '/api/system/tree', handle: (_context, services) => systemTree(services) },
];
