import { addBot, type BotObject, listBots, removeBot } from '../../api/bots.js';
import { CommandError, EXIT } from '../exit.js';
import { note, say, sayJson, table } from '../io.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** The options of `posthorn bots add`, as they were typed. */
export interface BotAddOptions {
  readonly rate?: string;
  readonly chatRate?: string;
  readonly groupRate?: string;
  readonly json?: true;
}

/** Most of what is read from standard input for a token, characters. */
const MAX_INPUT = 4_096;

async function tokenOf({ io }: Session, given: string | undefined): Promise<string> {
  if (given !== undefined && given !== '-') return given;
  let text = '';
  for await (const chunk of io.stdin ?? []) {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    if (text.length > MAX_INPUT) break;
  }
  const token = text.trim();
  if (token === '') throw new CommandError(EXIT.usage, 'give the token, as an argument or on standard input');
  return token;
}

/** A rate as it was typed: a number, or `default`. */
function rateOf(flag: string, typed: string | undefined): number | null | undefined {
  if (typed === undefined) return undefined;
  if (typed === 'default') return null;
  if (!/^\d{1,9}$/.test(typed)) throw new CommandError(EXIT.usage, `${flag} takes a whole number, or: default`);
  return Number(typed);
}

/** `posthorn bots add [TOKEN]`: adds a bot, or gives a known one another token or rates; the token comes from standard input when it is no argument. Resolves with the exit code; throws CommandError and Problem. */
export async function botsAdd(session: Session, given: string | undefined, options: BotAddOptions): Promise<number> {
  const typed = {
    rate: rateOf('--rate', options.rate),
    chatRate: rateOf('--chat-rate', options.chatRate),
    groupRate: rateOf('--group-rate', options.groupRate),
  };
  const rates = Object.fromEntries(Object.entries(typed).filter(([, rate]) => rate !== undefined));
  const token = await tokenOf(session, given);
  return withStore(session, async ({ services }) => {
    const bot = await addBot(services, { token, ...rates });
    if (options.json === true) sayJson(session.io, bot);
    else say(session.io, `bot ${bot.id}${bot.username === undefined ? '' : ` (@${bot.username})`} is ${bot.state}`);
    return EXIT.done;
  });
}

/** `posthorn bots list`. Resolves with the exit code. */
export async function botsList(session: Session, json: boolean): Promise<number> {
  return withStore(session, async ({ services }) => {
    const list = await listBots(services);
    if (json) sayJson(session.io, list);
    else say(session.io, table([HEAD, ...list.items.map(row)]));
    return EXIT.done;
  });
}

const HEAD = ['bot', 'username', 'state', 'rate', 'chat rate', 'group rate', 'waiting', 'open', 'sender'];

function row({ id, username, state, first, rate, chatRate, groupRate, waiting, open, sender }: BotObject): string[] {
  const of = sender === undefined ? '-' : `${sender.pid}@${sender.host}`;
  const limits = [`${rate}/s`, `${chatRate}/s`, `${groupRate}/min`];
  return [`${id}${first ? ' (first)' : ''}`, username ?? '-', state, ...limits, String(waiting), String(open), of];
}

/** `posthorn bots remove ID`: refused while something of the bot is open, unless `force`. Resolves with the exit code; throws Problem. */
export async function botsRemove(
  session: Session,
  id: string,
  options: { force?: true; json?: true },
): Promise<number> {
  return withStore(session, async ({ services }) => {
    const answer = await removeBot(services, id, options.force === true ? { force: 'true' } : {});
    if (options.json === true) sayJson(session.io, answer);
    else say(session.io, `bot ${id} is removed`);
    if (answer.open > 0)
      note(session.io, `posthorn: requests that are not done: ${answer.open}; they go on when the bot is added again`);
    return EXIT.done;
  });
}
