import { byId, el, icon, KeyedList } from './dom.js';
import type { Model } from './model.js';
import type { WireFlood, WireTold } from './wire.js';
import { counted, exactTimeOf } from './words.js';

/** Telegram's limits: of one bot a second, of one bot in one group a minute. */
const BOT_LIMIT = 30;
const GROUP_LIMIT = 20;
/** Gauges shown at most. */
const GAUGES_MAX = 5;

/** The developer's panel: how near the bots are to the limits, and what they were told, the newest first. */
export function botPanel(model: Model): void {
  const flood = byId('flood');
  const empty = byId('told-empty');
  let shown: { readonly flood: WireFlood; readonly chat: number | undefined } | undefined;
  const keys = new WeakMap<WireTold, string>();
  let made = 0;
  const keyOf = (entry: WireTold): string => {
    const known = keys.get(entry);
    if (known !== undefined) return known;
    made += 1;
    keys.set(entry, String(made));
    return String(made);
  };
  const rows = new KeyedList<WireTold>(
    byId('told'),
    (entry) => toldRow(entry, botName(model, entry)),
    (a, b) => a === b,
  );
  model.watch(() => {
    rows.show(model.told.toReversed().map((entry) => [keyOf(entry), entry]));
    empty.hidden = model.told.length > 0;
    const now = model.flood && { flood: model.flood, chat: model.open?.info.id };
    if (now === undefined || (now.flood === shown?.flood && now.chat === shown.chat)) return;
    shown = now;
    flood.replaceChildren(...floodParts(model, now.flood));
  });
}

/** The bot's name, where there is more than one that it could be. */
function botName(model: Model, { botId }: WireTold): string | undefined {
  const bots = model.chats.filter(({ info }) => info.type === 'private');
  return bots.length < 2 ? undefined : bots.find(({ info }) => info.id === botId)?.info.title;
}

function floodParts(model: Model, flood: WireFlood): HTMLElement[] {
  const figures = el(
    'dl',
    { class: 'figures' },
    ...figure('accepted', flood.accepted),
    ...figure('too many', flood.tooMany, flood.tooMany > 0),
    ...figure('blocked', flood.blocked),
  );
  const { last } = flood;
  const note =
    last === undefined
      ? undefined
      : el(
          'p',
          { class: 'flood-note' },
          icon('alert'),
          `429 at ${exactTimeOf(last.at)}: ${last.method}, retry after ${last.retryAfter} s`,
        );
  const limits = flood.limits === 'telegram' ? undefined : el('p', { class: 'flood-note' }, `limits: ${flood.limits}`);
  return [...gauges(model, flood), figures, ...[note, limits].filter((part) => part !== undefined)];
}

/** Those of the bot that is talked to, or of the first one; of all that send at the moment; and of the group that is open. */
function gauges({ open, chats }: Model, flood: WireFlood): HTMLElement[] {
  const bots = chats.filter(({ info }) => info.type === 'private');
  const nameOfBot = (id: number): string => bots.find(({ info }) => info.id === id)?.info.title ?? `Bot ${id}`;
  const main = open?.info.type === 'private' ? open : bots[0];
  const ids = new Set([...(main === undefined ? [] : [main.info.id]), ...flood.bots.map(({ botId }) => botId)]);
  const ofBots = [...ids].map((id) => {
    const inSecond = flood.bots.find(({ botId }) => botId === id)?.inSecond ?? 0;
    return gauge(nameOfBot(id), inSecond, BOT_LIMIT, 'this second');
  });
  const here = flood.groups.filter(({ chat }) => chat === open?.info.id);
  const ofGroup = here.map(({ botId, inMinute }) =>
    gauge(`${nameOfBot(botId)}, in this chat`, inMinute, GROUP_LIMIT, 'this minute'),
  );
  return [...ofGroup, ...ofBots].slice(0, GAUGES_MAX);
}

function gauge(name: string, now: number, limit: number, span: string): HTMLElement {
  const share = Math.min(1, now / limit);
  const bar = el('span', { class: share >= 1 ? 'gauge-bar full' : 'gauge-bar' });
  bar.style.inlineSize = `${share * 100}%`;
  const attributes = {
    role: 'meter',
    'aria-label': `${name}, messages ${span}`,
    'aria-valuemin': 0,
    'aria-valuemax': limit,
    'aria-valuenow': now,
  };
  return el(
    'div',
    { class: 'gauge' },
    el('div', { class: 'gauge-words' }, el('span', {}, name), el('span', {}, `${now} of ${limit} ${span}`)),
    el('div', { class: 'gauge-track', attributes }, bar),
  );
}

function figure(name: string, value: number, isBad = false): HTMLElement[] {
  return [el('dt', {}, name), el('dd', { class: isBad ? 'bad' : '' }, value.toLocaleString())];
}

function toldRow(entry: WireTold, bot: string | undefined): HTMLElement {
  const { kind, code, what, chat, summary, description, at, json } = entry;
  const isBad = isRefusal(entry);
  const state = kind === 'call' ? String(code) : kind;
  return el(
    'li',
    { class: isBad ? 'told bad' : `told ${kind}` },
    el(
      'details',
      {},
      el(
        'summary',
        {},
        el(
          'span',
          { class: 'told-line' },
          icon(kind === 'call' ? 'up' : 'down'),
          el(
            'span',
            { class: 'told-what' },
            what,
            chat === undefined ? undefined : el('span', { class: 'told-chat' }, ` ${chat}`),
          ),
          el('span', { class: 'pill' }, state),
          el('time', { class: 'told-when' }, exactTimeOf(at)),
        ),
        el('span', { class: 'told-summary' }, description ?? summary),
      ),
      bot === undefined ? undefined : el('p', { class: 'told-bot' }, bot),
      el('pre', { class: 'told-json', attributes: { tabindex: 0 } }, pretty(json)),
    ),
  );
}

/** JSON on lines of its own; as it is when it was cut off. */
function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

/** What the panel's button is called. */
export function panelLabel(model: Model): string {
  const refusals = model.told.filter(isRefusal).length;
  return refusals === 0 ? 'What the bot was told' : `What the bot was told, ${counted(refusals, 'refusal')}`;
}

/** Whether something went wrong for the bot. */
export function isRefusal({ description }: WireTold): boolean {
  return description !== undefined;
}
