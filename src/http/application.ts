import Router from '@koa/router';
import Koa, { type Context, type Next } from 'koa';
import { Problem, problemOf } from '../api/problem.js';
import type { Services } from '../api/services.js';
import type { Log } from '../log.js';
import { authorization } from './authorization.js';
import { discardBody } from './body.js';
import { eventStreams, type StreamLimits } from './event-streams.js';
import { API_ROUTES } from './routes.js';

/** How one part of a process is. */
export interface Check {
  readonly status: 'ok' | 'degraded' | 'down';
  readonly detail?: string;
}

/** How a process is as a whole: `ready` and `degraded` answer 200, `down` 503. */
export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'down';
  readonly checks: Readonly<Record<string, Check>>;
}

/** What the HTTP server stands on. */
export interface ApplicationDeps {
  /** The key with every scope. */
  readonly apiKey: string;
  /** Undefined until the store was reached: the API then answers 503 PH_STORE_AWAY. */
  readonly services: () => Services | undefined;
  readonly readiness: () => Readiness;
  /** True once the process is stopping: the API then answers 503 PH_DRAINING. */
  readonly draining: () => boolean;
  /** Monotonic ms, and what it was at the start. */
  readonly now: () => number;
  readonly startedAt: number;
  readonly log: Log;
  /** Bounds of event streams, where they are not the usual ones. */
  readonly streams?: Partial<StreamLimits>;
}

const PROTECTED = /^\/(api|admin|webhook)(\/|$)/i;

/** Answers with the problem document of any error; what is no expected refusal is logged and says nothing of its inside. */
function refuse(context: Context, error: unknown, log: Log): void {
  const known = problemOf(error);
  const problem =
    known ?? new Problem({ status: 500, code: 'PH_INTERNAL', detail: 'Something went wrong here; it was logged.' });
  if (known === undefined) log.error({ err: error, method: context.method, path: context.path }, 'request failed');
  if (context.headerSent || !context.writable) return;
  context.status = problem.status;
  context.body = JSON.stringify(problem.document());
  context.type = 'application/problem+json';
  if (problem.status === 401) context.set('WWW-Authenticate', 'Bearer realm="posthorn"');
  if (problem.retryAfter !== undefined) context.set('Retry-After', String(problem.retryAfter));
  discardBody(context.req);
}

/** The services, or why there are none now. */
function available(deps: ApplicationDeps): Services {
  if (deps.draining()) {
    const detail = 'This process is stopping; try again.';
    throw new Problem({ status: 503, code: 'PH_DRAINING', detail, retryAfter: 2 });
  }
  const services = deps.services();
  if (services !== undefined) return services;
  const detail = 'The store has not been reached yet; try again.';
  throw new Problem({ status: 503, code: 'PH_STORE_AWAY', detail, retryAfter: 1 });
}

/** Refuses what no route took: 401 first where a key is needed, then 405 with Allow, else 404. */
function unrouted(context: Context, router: Router, authorize: (header: string | undefined) => void): void {
  const { path } = router.match(context.path, context.method);
  const methods = [...new Set(path.flatMap((layer) => layer.methods))];
  if (context.method === 'OPTIONS' && methods.length > 0) {
    context.set('Allow', [...methods, 'OPTIONS'].join(', '));
    context.status = 204;
    return;
  }
  if (PROTECTED.test(context.path)) authorize(context.req.headers.authorization);
  if (methods.length === 0) {
    throw new Problem({ status: 404, code: 'PH_ROUTE_NOT_FOUND', detail: 'There is nothing at this path.' });
  }
  const allow = [...methods, 'OPTIONS'].join(', ');
  context.set('Allow', allow);
  const detail = `This path takes ${allow}.`;
  throw new Problem({ status: 405, code: 'PH_METHOD_NOT_ALLOWED', detail });
}

/** Adds the routes that answer without key and without store. */
function addOpenRoutes(router: Router, deps: ApplicationDeps): void {
  router.get('/', (context) => {
    context.body = 'Posthorn is running. See /health and /health/ready.\n';
  });
  router.get('/health', (context) => {
    context.set('Cache-Control', 'no-store');
    context.body = { status: 'ok', uptimeMs: Math.round(deps.now() - deps.startedAt) };
  });
  router.get('/health/ready', (context) => {
    const { status, checks } = deps.readiness();
    const down = status === 'down' || deps.draining();
    context.set('Cache-Control', 'no-store');
    context.status = down ? 503 : 200;
    if (down) context.set('Retry-After', '1');
    context.body = { status: down ? 'down' : status, checks };
  });
}

/** The Koa application: every answer that is an error is a problem document. Never throws. */
export function application(deps: ApplicationDeps): Koa {
  const { log } = deps;
  const authorize = authorization(deps.apiKey);
  const router = new Router({ sensitive: true, strict: true });
  addOpenRoutes(router, deps);
  const streams = eventStreams(deps.draining, deps.streams);
  for (const { method, path, status, handle } of API_ROUTES) {
    router[method](path, async (context) => {
      authorize(context.req.headers.authorization);
      const answer = await handle(context, available(deps), streams);
      context.status = answer === undefined ? 204 : (status ?? 200);
      if (answer !== undefined) context.body = answer;
    });
  }

  const app = new Koa();
  app.on('error', (error: unknown) => log.warn({ err: error }, 'answer failed'));
  app.use(async (context: Context, next: Next) => {
    const began = deps.now();
    context.set('X-Content-Type-Options', 'nosniff');
    try {
      await next();
    } catch (error) {
      refuse(context, error, log);
    }
    const ms = Math.round(deps.now() - began);
    log.debug({ method: context.method, path: context.path, status: context.status, ms }, 'request');
  });
  app.use(async (context: Context, next: Next) => {
    const { pathAndMethod } = router.match(context.path, context.method);
    if (pathAndMethod.length === 0) unrouted(context, router, authorize);
    else await next();
  });
  app.use(router.routes());
  return app;
}
