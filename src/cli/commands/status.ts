import { z } from 'zod';
import type { Config } from '../../config.js';
import { knownApiKey } from '../../data-dir.js';
import { CommandError, EXIT } from '../exit.js';
import { say, sayJson, table } from '../io.js';
import type { Session } from '../session.js';

/** How long the server may take for one answer, ms. */
const ANSWER_MS = 5_000;

const readiness = z.object({
  status: z.string(),
  checks: z.record(z.string(), z.object({ status: z.string(), detail: z.string().optional() })),
});
const tree = z.object({
  processes: z.array(z.looseObject({ host: z.string(), pid: z.number(), roles: z.array(z.string()) })),
});

/** The address at which commands of this machine reach the server. Never throws. */
export function serverUrl({ host, port }: Config['http']): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? (host.includes(':') ? `[${host}]` : host);
  return `http://${reachable}:${port}`;
}

async function ask(url: string, key: string | undefined): Promise<{ status: number; body: unknown }> {
  const headers: Record<string, string> = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_MS) });
  return { status: response.status, body: (await response.json()) as unknown };
}

/**
 * `posthorn status`: asks the running server. Resolves with the exit code: 0 ready or degraded, 1 down.
 * Throws CommandError 69 when no Posthorn answers there.
 */
export async function status({ config, io }: Session, json: boolean): Promise<number> {
  const url = serverUrl(config.http);
  const ready = await ask(`${url}/health/ready`, undefined).catch(() => undefined);
  const health = readiness.safeParse(ready?.body);
  if (ready === undefined || !health.success) {
    throw new CommandError(EXIT.unavailable, `no server answers at ${url} (HOST and PORT); start one: posthorn start`);
  }
  const key = await knownApiKey(config);
  const answer = await ask(`${url}/api/system/tree`, key).catch(() => undefined);
  const processes = answer?.status === 200 ? tree.safeParse(answer.body).data?.processes : undefined;
  const { status: state, checks } = health.data;
  if (json) sayJson(io, { status: state, checks, ...(processes === undefined ? {} : { processes }) });
  else {
    say(io, `posthorn ${state} ${url}`);
    say(io, table(Object.entries(checks).map(([name, check]) => [`  ${name}`, check.status, check.detail ?? ''])));
    if (processes === undefined)
      say(io, `processes: not told (${answer?.status === 401 ? 'API_KEY is wrong' : 'store away'})`);
    else {
      const rows = processes.map(({ host, pid, roles }) => [`  ${host}`, String(pid), roles.join(' ')]);
      say(io, table([['  host', 'pid', 'roles'], ...rows]));
    }
  }
  return ready.status === 200 ? EXIT.done : EXIT.failed;
}
