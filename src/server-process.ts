import { setFlagsFromString } from 'node:v8';
import { CommandError, EXIT, withCode } from './cli/exit.js';
import type { Io } from './cli/io.js';
import { say } from './cli/io.js';
import type { Config } from './config.js';
import { DataDirError, loadSecrets, openDataDir } from './data-dir.js';
import type { Feature } from './feature.js';
import { type StandIns, StandInsMissing, standIns } from './local/stand-ins.js';
import { createLogger } from './logger.js';
import type { Role } from './roles.js';
import type { PosthornSystem } from './system.js';

const STAY_MS = 3_600_000;

/**
 * Runs a process of the server with these roles until `stopping` is aborted or its tree fails. Prints the lines of docs/contract.md, "Program", on
 * standard output. Resolves with the exit code: 0 after a drain, 1 when the tree failed, 69 store unreachable, 78 configuration; never rejects.
 */
export async function startServer(
  config: Config,
  roles: readonly Role[],
  features: readonly Feature[],
  io: Io,
  stopping: AbortSignal,
): Promise<number> {
  const log = createLogger({
    ...config.log,
    sink: io.stderr,
    secrets: [config.bot?.token, config.apiKey, config.secretKey, config.webhookSecret, config.vapid?.privateKey],
  });
  let hosted: StandIns | undefined;
  let system: PosthornSystem | undefined;
  let serving: typeof import('./serving.js') | undefined;
  const startedAt = performance.now();
  // A process that hosts nothing has nothing else that keeps it running until it is told to stop.
  const staying = setInterval(() => undefined, STAY_MS);
  const end = async (code: number): Promise<number> => {
    clearInterval(staying);
    const stopAt = performance.now();
    await system?.stop();
    await hosted?.stop(Math.max(0, config.shutdownMs - (performance.now() - stopAt)));
    return code;
  };
  try {
    if (needsDataDir(config)) await openDataDir(config.dataDir);
    const secrets = await loadSecrets(config);
    if (roles.some((role) => role !== 'local')) {
      serving = await import('./serving.js');
      const { posthornSystem } = await import('./system.js');
      system = posthornSystem({ config, roles, features, apiKey: secrets.apiKey, log });
    } else {
      // Buffers come and go there, and little else: collecting earlier keeps a quarter less memory at the same speed (bench:store, docs/performance.md).
      setFlagsFromString('--heap-growing-percent=50');
    }
    const failed = new Promise<number>((resolve) => {
      system?.actors.onFailure((error) => {
        log.error(
          { error: String(error) },
          'the supervision tree failed; ending so that the platform starts a new process',
        );
        resolve(1);
      });
    });
    const port = await system?.listen();
    const around = standIns(config, roles.includes('local'), log);
    hosted = await around;
    if (hosted.hosted.store !== undefined) say(io, `local store ${hosted.hosted.store.uri}`);
    if (hosted.hosted.telegram !== undefined) say(io, `local telegram ${hosted.hosted.telegram.url}`);
    if (secrets.apiKeyMade) say(io, `api key ${secrets.apiKey}`);
    if (serving !== undefined && system !== undefined) {
      const store = await serving.reachStore(hosted.mongoUri, config, log, system.room(stopping));
      await system.run({ store, apiRoot: hosted.apiRoot, token: hosted.token, secretKey: secrets.secretKey }, stopping);
      await Promise.race([system.ready(), failed, aborted(stopping)]);
    }
    if (!stopping.aborted) {
      say(io, port === undefined ? 'posthorn ready' : `posthorn ready http://${config.http.host}:${port}`);
      log.info({ roles, ms: Math.round(performance.now() - startedAt) }, 'ready');
    }
    const code = await Promise.race([failed, aborted(stopping).then(() => EXIT.done)]);
    if (code === EXIT.done) log.info({}, 'stopping: no new work, calls in the air may end');
    return await end(code);
  } catch (error) {
    if (stopping.aborted) {
      log.info({ error: String(error) }, 'stopping: the start had not come to its end');
      return await end(EXIT.done);
    }
    const failure = explain(error, serving);
    io.stderr.write(`posthorn: ${withCode(failure.message, rootCause(error))}\n`);
    log.debug({ err: error }, 'start failed');
    return await end(failure.exitCode).catch(() => failure.exitCode);
  }
}

const needsDataDir = (config: Config): boolean =>
  config.mongoUri === undefined ||
  config.bot === undefined ||
  config.apiKey === undefined ||
  config.secretKey === undefined;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function explain(
  error: unknown,
  serving: typeof import('./serving.js') | undefined,
): { readonly exitCode: number; readonly message: string } {
  const cause = rootCause(error);
  const { message } = cause;
  if (cause instanceof CommandError) return { exitCode: cause.exitCode, message };
  if (cause instanceof DataDirError) return { exitCode: EXIT.config, message };
  if (cause instanceof StandInsMissing) return { exitCode: EXIT.unavailable, message };
  const code = (cause as { code?: unknown }).code;
  if (typeof code === 'string' && /^PH_(STORE|LOCAL_TELEGRAM)_(LOCKED|PORT_TAKEN)$/.test(code))
    return { exitCode: EXIT.unavailable, message };
  if (code === 'PH_STORE_FORMAT') return { exitCode: EXIT.config, message };
  return serving?.servingFailure(cause) ?? { exitCode: EXIT.failed, message: `the start failed: ${message}` };
}

/** The runtime may wrap what an actor's start threw; an error of a directory or a port is told as it is, not by its cause. */
function rootCause(error: unknown): Error {
  let found = error instanceof Error ? error : new Error(String(error));
  while (found.cause instanceof Error && !/^PH_(DATA_DIR|HTTP_)/.test(String((found as { code?: unknown }).code)))
    found = found.cause;
  return found;
}
