import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';

/** Sends one text to each of these chats, `concurrency` calls at once and nothing written down; resolves with the seconds that it took. Throws when one is refused. */
export async function rawLoop(
  telegram: string,
  token: string,
  text: string,
  chats: readonly number[],
  concurrency: number,
): Promise<number> {
  const pool = new Pool(telegram, { connections: concurrency, pipelining: 1 });
  let next = 0;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (let chatId = chats[next++]; chatId !== undefined; chatId = chats[next++]) {
        const { body, statusCode } = await pool.request({
          path: `/bot${token}/sendMessage`,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ chat_id: chatId, text }),
        });
        await body.json();
        if (statusCode !== 200) throw new Error(`the raw loop was answered ${statusCode}`);
      }
    }),
  );
  const seconds = (performance.now() - began) / 1_000;
  await pool.close();
  return seconds;
}

/** The raw loop in a process of its own, as new as those that it is measured beside; `end` ends it. */
export function startRawProcess(): { readonly loop: typeof rawLoop; end(): void } {
  const child = fork(fileURLToPath(new URL('raw-process.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
  return {
    loop: (...asked) =>
      new Promise((resolve, reject) => {
        child.once('message', ({ seconds, error }: { readonly seconds?: number; readonly error?: string }) => {
          if (seconds === undefined) reject(new Error(error));
          else resolve(seconds);
        });
        child.send(asked);
      }),
    end: () => child.disconnect(),
  };
}
