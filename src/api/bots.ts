import { z } from 'zod';
import type { BotRates } from '../store/models.js';
import { checked } from './checked.js';
import { botId } from './message.js';
import { Problem, wrongInput } from './problem.js';
import type { Services } from './services.js';

const TOKEN = 'a token: <digits>:<letters, digits, _ and ->, as BotFather gives it';
const rate = (most: number) => {
  const expected = `an integer from 0 (unlimited) to ${most}, or null for the default`;
  return z.number(expected).int(expected).min(0, expected).max(most, expected).nullable().optional();
};

const body = z.strictObject(
  {
    token: z.string(TOKEN).regex(/^\d{1,20}:[A-Za-z0-9_-]{1,256}$/, TOKEN),
    rate: rate(100_000),
    chatRate: rate(1_000),
    groupRate: rate(60_000),
  },
  'an object with a token',
);

/** A bot as the API shows it. Rates count as their environment variables do, and are those that hold: set for the bot, else the defaults of the process that was asked. */
export interface BotObject extends Required<BotRates> {
  readonly id: string;
  readonly username?: string;
  readonly state: 'active' | 'unauthorized' | 'removing' | 'removed';
  /** Takes the messages that name no bot. */
  readonly first: boolean;
  /** Messages by chat id that wait, as its sender last said. */
  readonly waiting: number;
  /** Accepted requests, broadcasts too, that are not done. */
  readonly open: number;
  /** The processes that own its parts. */
  readonly sender?: { readonly host: string; readonly pid: number };
  readonly receiver?: { readonly host: string; readonly pid: number };
  readonly createdAt: string;
}

/** GET /api/bots: all bots, the oldest first; removed ones as long as requests of theirs are not done. */
export async function listBots(services: Services): Promise<{ items: BotObject[] }> {
  const items = await services.listBots();
  return { items: items.filter(({ state, open }) => state !== 'removed' || open > 0) };
}

/**
 * POST /api/bots: `{"token","rate"?,"chatRate"?,"groupRate"?}` adds a bot once getMe has taken its token; of a known bot it replaces the token and the rates
 * that are given. Throws a Problem: 400 that names the fields, 400 PH_BOT_TOKEN_REFUSED, 409 PH_SECRET_KEY_WRONG, 503 PH_TELEGRAM_AWAY and those of the store.
 */
export async function addBot(services: Services, input: unknown): Promise<BotObject> {
  const { token, ...rates } = checked(body, input);
  const met = await services.getMe(token);
  if (met.kind === 'refused') {
    const expected = `a token that Telegram takes (getMe: ${met.description})`;
    throw wrongInput([{ field: 'token', expected }], 'PH_BOT_TOKEN_REFUSED');
  }
  if (met.kind === 'failed') {
    const detail = `Telegram cannot be asked whether it takes the token (${met.reason}); try again.`;
    throw new Problem({ status: 503, code: 'PH_TELEGRAM_AWAY', detail, retryAfter: 5 });
  }
  const id = await services.keepBot(token, {
    ...(met.username === undefined ? {} : { username: met.username }),
    rates,
  });
  return shown(services, id);
}

async function shown(services: Services, id: string): Promise<BotObject> {
  const found = (await services.listBots()).find((bot) => bot.id === id);
  if (found === undefined) throw unknownBot();
  return found;
}

const unknownBot = (): Problem =>
  new Problem({ status: 404, code: 'PH_BOT_NOT_FOUND', detail: 'There is no such bot in this installation.' });

const removal = z.strictObject({ force: z.enum(['true', 'false'], 'true or false').optional() });

/** What DELETE /api/bots/:botId answers: how many accepted requests wait for the day the bot is added again. */
export interface RemovedBot {
  readonly id: string;
  readonly removed: true;
  readonly open: number;
}

/**
 * DELETE /api/bots/:botId: the bot takes no messages any more, and once nothing of it is open its token is erased and all processes let go of it. While something is open it
 * stays, 409 PH_BOT_BUSY, unless `?force=true`: what is open then stays in the store and goes on when the bot is added again.
 * Throws a Problem: 404 PH_BOT_NOT_FOUND, 409 PH_BOT_OF_TOKEN for the bot that the environment names (unless forced), 409 PH_BOT_BUSY.
 */
export async function removeBot(services: Services, id: string, query: unknown): Promise<RemovedBot> {
  const { force } = checked(removal, query);
  if (!botId.safeParse(id).success) throw unknownBot();
  const known = (await services.listBots()).find((bot) => bot.id === id);
  if (known === undefined || known.state === 'removed') throw unknownBot();
  if (force !== 'true' && (await services.configuredBot()) === id) {
    const detail =
      'This is the bot that the environment names (BOT_TOKEN, or the local Telegram without it): a start would bring it back.';
    throw new Problem({ status: 409, code: 'PH_BOT_OF_TOKEN', detail });
  }
  const { removed, open } = await services.removeBot(id, force === 'true');
  if (!removed) {
    const detail = `Accepted requests of this bot that are not done: ${open}. Wait for them, or force it: they then stay until the bot is added again.`;
    throw new Problem({ status: 409, code: 'PH_BOT_BUSY', detail });
  }
  return { id, removed: true, open };
}
