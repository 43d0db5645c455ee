import type { WireChat, WireCommand, WireInvite, WireLink, WireMember, WireMessage, WirePerson } from './wire.js';

/** Most messages that are asked for at once. */
export const MESSAGES_PAGE = 100;

/** What the bot's answer to a press came to. */
export interface PressAnswer {
  readonly answered: boolean;
  readonly text?: string;
  readonly alert?: boolean;
  readonly url?: string;
}

/** A file that a person sends. */
export type FileContent =
  | { readonly photo: { readonly base64: string } }
  | { readonly document: { readonly base64: string; readonly name: string } };

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
  /** The newest `MESSAGES_PAGE`, or those before an id, oldest first. */
  messages: (chat: number, user: number, before?: number): Promise<WireMessage[]> =>
    call(
      'GET',
      `messages?chat=${chat}&user=${user}&limit=${MESSAGES_PAGE}${before === undefined ? '' : `&before=${before}`}`,
    ),
  write: (from: number, chat: number, text: string, replyTo?: number): Promise<{ messageId: number }> =>
    call('POST', 'messages', { from, chat, text, ...(replyTo !== undefined && { replyTo }) }),
  send: (from: number, chat: number, content: FileContent, caption: string): Promise<{ messageId: number }> =>
    call('POST', 'messages', { from, chat, ...content, ...(caption !== '' && { caption }) }),
  press: (from: number, chat: number, messageId: number, data: string): Promise<PressAnswer> =>
    call('POST', 'presses', { from, chat, messageId, data }),
  editText: (from: number, chat: number, messageId: number, text: string): Promise<unknown> =>
    call('PUT', 'messages', { from, chat, messageId, text }),
  remove: (from: number, chat: number, messageId: number): Promise<unknown> =>
    call('DELETE', 'messages', { from, chat, messageId }),
  /** The groups and channels where the person is not. */
  otherChats: (user: number): Promise<WireChat[]> => call('GET', `chats?user=${user}&in=false`),
  makeChat: (wish: { type: string; title: string; ownerId: number }): Promise<{ id: number }> =>
    call('POST', 'chats', wish),
  putMember: (
    chat: number,
    user: number,
    wish: { status?: string; inviteLink?: string },
  ): Promise<{ status: string }> => call('PUT', `chats/${chat}/members/${user}`, wish),
  leave: (chat: number, user: number): Promise<unknown> => call('DELETE', `chats/${chat}/members/${user}`),
  deleteChat: (chat: number): Promise<unknown> => call('DELETE', `chats/${chat}`),
  upgrade: (chat: number): Promise<{ id: number }> => call('POST', `chats/${chat}/upgrade`, {}),
  members: (chat: number, user: number): Promise<WireMember[]> => call('GET', `chats/${chat}/members?user=${user}`),
  links: (chat: number, user: number): Promise<WireLink[]> => call('GET', `chats/${chat}/links?user=${user}`),
  invite: (link: string): Promise<WireInvite> => call('GET', `invites?link=${encodeURIComponent(link)}`),
  setBlocked: (user: number, bot: number, blocked: boolean): Promise<unknown> =>
    call(blocked ? 'PUT' : 'DELETE', `blocks/${user}/${bot}`),
};
