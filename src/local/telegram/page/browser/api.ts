import type { WireChat, WireCommand, WireMessage, WirePerson } from './wire.js';

/** What the bot's answer to a press came to. */
export interface PressAnswer {
  readonly answered: boolean;
  readonly text?: string;
  readonly alert?: boolean;
}

/** A refusal of the control API, or no answer at all (`status` 0); the message is fit to be shown. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

async function call<Result>(method: string, path: string, body?: unknown): Promise<Result> {
  let answer: Response;
  let value: unknown;
  try {
    answer = await fetch(`/local/${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    value = await answer.json();
  } catch {
    throw new ApiError(0, 'The local Telegram does not answer.');
  }
  if (!answer.ok) throw new ApiError(answer.status, (value as { error?: string }).error ?? `Error ${answer.status}`);
  return value as Result;
}

/** The control API of docs/contract.md, as far as the page needs it. Every call rejects with an ApiError. */
export const api = {
  /** People, the newest first, from below an id on. */
  people: (after?: number): Promise<WirePerson[]> =>
    call('GET', `people?limit=50${after === undefined ? '' : `&after=${after}`}`),
  person: async (id: number): Promise<WirePerson | undefined> => {
    const [person] = await call<WirePerson[]>('GET', `people?limit=1&after=${id + 1}`);
    return person?.id === id ? person : undefined;
  },
  makePerson: (wish: { firstName: string; username?: string; languageCode?: string }): Promise<WirePerson> =>
    call('POST', 'people', { ...wish, started: false }),
  chats: (user: number): Promise<WireChat[]> => call('GET', `chats?user=${user}`),
  commands: (chat: number, user: number): Promise<WireCommand[]> => call('GET', `commands?chat=${chat}&user=${user}`),
  messages: (chat: number, user: number): Promise<WireMessage[]> => call('GET', `messages?chat=${chat}&user=${user}`),
  write: (from: number, chat: number, text: string): Promise<{ messageId: number }> =>
    call('POST', 'messages', { from, chat, text }),
  press: (from: number, chat: number, messageId: number, data: string): Promise<PressAnswer> =>
    call('POST', 'presses', { from, chat, messageId, data }),
  setBlocked: (user: number, bot: number, blocked: boolean): Promise<unknown> =>
    call(blocked ? 'PUT' : 'DELETE', `blocks/${user}/${bot}`),
};
