import { request } from 'undici';

/** A broadcast as the API shows it. */
export interface BroadcastView {
  readonly id: string;
  readonly state: 'running' | 'paused' | 'cancelled' | 'done';
  readonly total: number;
  readonly sent: number;
  readonly blocked: number;
  readonly dead: number;
  readonly unknown: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly remaining: number;
  readonly finishedAt?: string;
}

/** An answer with its body as JSON. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** The API of a server, as its clients use it. */
export interface PosthornApi {
  /** Rejects only when there was no whole answer. */
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object | string,
    headers?: Record<string, string>,
  ): Promise<ApiAnswer>;
  /** These people as active subscribers, by POST /api/users/import. */
  importPeople(chatIds: readonly number[]): Promise<void>;
  /** The id of the accepted broadcast. */
  broadcast(body: { readonly text: string; readonly class?: string; readonly botId?: string }): Promise<string>;
  showBroadcast(id: string): Promise<BroadcastView>;
}

/** The key that the tests give their servers. */
export const API_KEY = 'ph_end_to_end';

/** The API at `url`, with the key of the tests. */
export function posthornApi(url: string, key = API_KEY): PosthornApi {
  async function call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object | string,
    headers: Record<string, string> = {},
  ): Promise<ApiAnswer> {
    const answer = await request(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined || typeof body === 'string' ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
  }
  async function expect<T>(status: number, work: Promise<ApiAnswer>): Promise<T> {
    const answer = await work;
    if (answer.status !== status) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as T;
  }
  return {
    call,
    async importPeople(chatIds) {
      const lines = chatIds.map((chatId) => `{"chatId":${chatId}}\n`).join('');
      const type = { 'content-type': 'application/x-ndjson' };
      const { failedTotal } = await expect<{ failedTotal: number }>(
        200,
        call('POST', '/api/users/import', lines, type),
      );
      if (failedTotal !== 0) throw new Error(`${failedTotal} lines failed`);
    },
    broadcast: async (body) => (await expect<{ id: string }>(202, call('POST', '/api/broadcasts', body))).id,
    showBroadcast: (id) => expect(200, call('GET', `/api/broadcasts/${id}`)),
  };
}
