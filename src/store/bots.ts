import type { BotRates, BotRow } from './models.js';
import { openText, sealText } from './sealed-text.js';
import { duplicateKey, type Store } from './store.js';

/** A bot as it is kept, with its token opened. */
export interface KeptBot {
  readonly bot: string;
  /** Undefined when the kept text cannot be opened: it is damaged. */
  readonly token: string | undefined;
  /** The token as it is kept: what tells one token from the next. */
  readonly sealed: string;
  readonly username?: string;
  readonly state: BotRow['state'];
  readonly rates: BotRates;
  /** A bot of the local Telegram, not of Telegram; undefined: not known. */
  readonly local: boolean | undefined;
}

/** A bot as operators see it; the token stays in the store. */
export interface BotView {
  readonly bot: string;
  readonly username?: string;
  readonly state: BotRow['state'];
  readonly rates: BotRates;
  readonly local: boolean | undefined;
  readonly createdAt: Date;
  /** Messages by chat id that wait, as its sender says; and the processes that own its parts. */
  readonly waiting: number;
  readonly sender?: OwnerView;
  readonly receiver?: OwnerView;
}

/** A process that owns a part of a bot. */
export interface OwnerView {
  readonly host: string;
  readonly pid: number;
}

/** No kept token can be opened with this SECRET_KEY: another one sealed them. */
export class SecretKeyWrong extends Error {
  readonly code = 'PH_SECRET_KEY_WRONG';

  constructor(bots: readonly string[]) {
    super(
      `SECRET_KEY is not the one that sealed the tokens of the bots in this store (${bots.join(', ')}); nothing was changed. ` +
        'Set the right one; if it is lost: posthorn bots remove ID --force for each of them, then add them again',
    );
  }
}

/** The id of the bot that a token is of. Never throws. */
export const botOf = (token: string): string => token.slice(0, token.indexOf(':'));

async function rowsOf(store: Store): Promise<BotRow[]> {
  const { collection } = store.models.Bots;
  return (await collection.find({}).sort({ _id: 1 }).toArray()) as unknown as BotRow[];
}

/** All bots, those that were removed too, the first one first. Rejects with the driver's error while the store is away. */
export async function listBots(store: Store): Promise<BotView[]> {
  const rows = await rowsOf(store);
  const owners = await store.models.Owners.collection.find({ bot: { $in: rows.map(({ bot }) => bot) } }).toArray();
  return rows.map(({ bot, username, state, rates, local, createdAt }) => {
    const of = (part: string) => owners.find((row) => row.bot === bot && row.part === part);
    const sender = ownerView(of('send')?.owner);
    const receiver = ownerView(of('receive')?.owner);
    const waiting = Number(of('send')?.waiting ?? 0);
    return {
      bot,
      state,
      rates: rates ?? {},
      local,
      createdAt,
      waiting: Number.isFinite(waiting) ? waiting : 0,
      ...(username === undefined ? {} : { username }),
      ...(sender === undefined ? {} : { sender }),
      ...(receiver === undefined ? {} : { receiver }),
    };
  });
}

function ownerView(owner: unknown): OwnerView | undefined {
  if (typeof owner !== 'object' || owner === null) return undefined;
  const { host, pid } = owner as { host?: unknown; pid?: unknown };
  return typeof host === 'string' && typeof pid === 'number' ? { host, pid } : undefined;
}

/** The ids of the bots that take messages, the first one first; `local` as in the row. */
export async function acceptingBots(store: Store): Promise<{ bot: string; local: boolean | undefined }[]> {
  const rows = (await store.models.Bots.collection
    .find({ state: { $nin: ['removing', 'removed'] } }, { projection: { bot: 1, local: 1 } })
    .sort({ _id: 1 })
    .toArray()) as unknown as BotRow[];
  return rows.map(({ bot, local }) => ({ bot, local }));
}

/** The bots that are not removed, with their tokens. Throws SecretKeyWrong when none of the tokens can be opened. */
export async function keptBots(store: Store, secret: string): Promise<KeptBot[]> {
  const rows = (await rowsOf(store)).filter(({ state }) => state !== 'removed');
  const kept = rows.map(({ bot, token, username, state, rates, local }) => ({
    bot,
    token: openText(token, secret),
    sealed: token,
    state,
    rates: rates ?? {},
    local,
    ...(username === undefined ? {} : { username }),
  }));
  if (kept.length > 0 && kept.every(({ token }) => token === undefined))
    throw new SecretKeyWrong(kept.map(({ bot }) => bot));
  return kept;
}

/** What is kept of a bot beside its token. */
export interface BotFields {
  readonly username?: string;
  readonly local?: boolean;
  /** Said when getMe has just taken the token: the bot need not be parked any more. */
  readonly state?: 'active';
  /** Of each rate: a number sets it, null goes back to the default, undefined leaves it. */
  readonly rates?: { readonly [Name in keyof BotRates]?: number | null | undefined };
}

/**
 * Keeps the bot of `token`, active: a new one, one with a changed token, or one that was removed. The same again changes nothing. Returns its id.
 * Throws SecretKeyWrong, with nothing changed, when `secret` opens none of the kept tokens.
 */
export async function ensureBot(store: Store, token: string, secret: string, fields: BotFields = {}): Promise<string> {
  const bot = botOf(token);
  const { collection } = store.models.Bots;
  const { set, unset } = changes(fields);
  for (;;) {
    const known = (await keptBots(store, secret)).find((row) => row.bot === bot);
    const same = known?.token === token && known.state !== 'removing';
    const $set = {
      ...set,
      ...(fields.local === undefined || fields.local === known?.local ? {} : { local: fields.local }),
      ...(same ? {} : { token: sealText(token, secret), state: 'active' }),
    };
    const update = { ...(isEmpty($set) ? {} : { $set }), ...(isEmpty(unset) ? {} : { $unset: unset }) };
    if (isEmpty(update)) return bot;
    // What changed under our hands is looked at again.
    const filter = known === undefined ? { bot, state: 'removed' } : { bot, token: known.sealed };
    if ((await collection.updateOne(filter, update)).matchedCount > 0) return bot;
    if (known !== undefined) continue;
    try {
      await collection.insertOne({ bot, createdAt: new Date(), ...nested($set) } as never);
      return bot;
    } catch (error) {
      if (duplicateKey(error) === undefined) throw error;
    }
  }
}

const isEmpty = (fields: object): boolean => Object.keys(fields).length === 0;

function changes({ username, state, rates = {} }: BotFields) {
  const set: Record<string, unknown> = {
    ...(username === undefined ? {} : { username }),
    ...(state === undefined ? {} : { state }),
  };
  const unset: Record<string, ''> = {};
  for (const [name, rate] of Object.entries(rates)) {
    if (rate === null) unset[`rates.${name}`] = '';
    else if (rate !== undefined) set[`rates.${name}`] = rate;
  }
  return { set, unset };
}

/** The document that an update with these fields makes: `rates.x` lies within `rates`. */
function nested(set: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(set).map(([name, value]) => [name.split('.'), value] as const);
  const rates = entries.filter(([path]) => path.length === 2).map(([path, value]) => [path[1], value]);
  const own = entries.filter(([path]) => path.length === 1).map(([path, value]) => [path[0], value]);
  return { ...Object.fromEntries(own), ...(rates.length === 0 ? {} : { rates: Object.fromEntries(rates) }) };
}

/** Notes what getMe said of a bot's token; with `sealed` only while that is the kept one. A bot that is being removed stays so. */
export async function noteBot(
  store: Store,
  bot: string,
  fields: { readonly username?: string; readonly state?: 'active' | 'unauthorized' },
  sealed?: string,
): Promise<void> {
  await store.models.Bots.collection.updateOne(
    { bot, state: { $in: ['active', 'unauthorized'] }, ...(sealed === undefined ? {} : { token: sealed }) },
    { $set: fields },
  );
}

/** The bot takes no messages from now on (each process looks within a second), and goes on with those it has. Returns false when there is no such bot. */
export async function beginRemoval(store: Store, bot: string): Promise<boolean> {
  const { matchedCount } = await store.models.Bots.collection.updateOne(
    { bot, state: { $ne: 'removed' } },
    { $set: { state: 'removing' } },
  );
  return matchedCount > 0;
}

/** Takes `beginRemoval` back. */
export async function abandonRemoval(store: Store, bot: string): Promise<void> {
  await store.models.Bots.collection.updateOne({ bot, state: 'removing' }, { $set: { state: 'active' } });
}

/** The bot is gone: its token is erased, every process lets go of it. What it knows and what waits stays in the store, for the day it is added again. */
export async function endRemoval(store: Store, bot: string): Promise<void> {
  await store.models.Bots.collection.updateOne({ bot, state: 'removing' }, { $set: { state: 'removed', token: '' } });
}

/** How many accepted requests (broadcasts too) of a bot are not settled yet. */
export async function openRequests(store: Store, bot: string): Promise<number> {
  return store.models.Pages.collection.countDocuments({ bot, open: true });
}
