import { byId, el, icon, KeyedList } from './dom.js';
import type { Model } from './model.js';
import type { WireFlood, WireTold } from './wire.js';
import { counted, exactTimeOf } from './words.js';

/** Telegram's limit for one bot, calls a second. */
const BOT_LIMIT = 30;

/** The developer's panel: how near the bots are to the limits, and what they were told, the newest first. */
export function botPanel(model: Model): void {
  const flood = byId('flood');
  const empty = byId('told-empty');
  let shownFlood: WireFlood | undefined;
  let keys = new WeakMap<WireTold, string>();
  let made = 0;
  const keyOf = (entry: WireTold): string => {
    let key = keys.get(entry);
    if (key === undefined) {
      made += 1;
      key = String(made);
      keys.set(entry, key);
    }
    return key;
  };
  const rows = new KeyedList<WireTold>(
    byId('told'),
    (entry) => toldRow(entry, botName(model, entry)),
    (a, b) => a === b,
  );
  model.watch(() => {
    if (model.told.length === 0) keys = new WeakMap();
    rows.show(model.told.toReversed().map((entry) => [keyOf(entry), entry]));
    empty.hidden = model.told.length > 0;
    if (model.flood !== undefined && model.flood !== shownFlood) {
      shownFlood = model.flood;
      flood.replaceChildren(...floodParts(model, model.flood));
    }
  });
}

/** The bot's name, where there is more than one that it could be. */
function botName(model: Model, { botId }: WireTold): string | undefined {
  const bots = model.chats.filter(({ info }) => info.type === 'private');
  return bots.length < 2 ? undefined : bots.find(({ info }) => info.id === botId)?.info.title;
}

function floodParts(model: Model, flood: WireFlood): HTMLElement[] {
  const gauges = flood.bots.map(({ botId, inSecond }) => {
    const name = model.chats.find(({ info }) => info.id === botId)?.info.title ?? `Bot ${botId}`;
    return gauge(name, inSecond);
  });
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
  const model_ = flood.limits === 'telegram' ? undefined : el('p', { class: 'flood-note' }, `limits: ${flood.limits}`);
  return [...gauges, figures, ...[note, model_].filter((part) => part !== undefined)];
}

function gauge(name: string, inSecond: number): HTMLElement {
  const share = Math.min(1, inSecond / BOT_LIMIT);
  const bar = el('span', { class: share >= 1 ? 'gauge-bar full' : 'gauge-bar' });
  bar.style.inlineSize = `${share * 100}%`;
  const attributes = {
    role: 'meter',
    'aria-label': `${name}, messages this second`,
    'aria-valuemin': 0,
    'aria-valuemax': BOT_LIMIT,
    'aria-valuenow': inSecond,
  };
  return el(
    'div',
    { class: 'gauge' },
    el(
      'div',
      { class: 'gauge-words' },
      el('span', {}, name),
      el('span', {}, `${inSecond} of ${BOT_LIMIT} this second`),
    ),
    el('div', { class: 'gauge-track', attributes }, bar),
  );
}

function figure(name: string, value: number, isBad = false): HTMLElement[] {
  return [el('dt', {}, name), el('dd', { class: isBad ? 'bad' : '' }, value.toLocaleString())];
}

function toldRow(entry: WireTold, bot: string | undefined): HTMLElement {
  const { kind, code, what, chat, summary, description, at, json } = entry;
  const isBad = code >= 400;
  const state = kind === 'update' ? 'update' : String(code);
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
          icon(kind === 'update' ? 'down' : 'up'),
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
  const refusals = model.told.filter(({ code }) => code >= 400).length;
  return refusals === 0 ? 'What the bot was told' : `What the bot was told, ${counted(refusals, 'refusal')}`;
}
