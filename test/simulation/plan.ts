import type { Rates } from '../../src/delivery/pacing.js';
import type { SeededRandom } from '../support/seeded-random.js';
import type { StoreWeather } from './model-store.js';
import type { LimitKind, TelegramWeather } from './model-telegram.js';

/** All that a seed decides before the run. */
export interface Plan {
  /** Nothing goes wrong but the jitter of the network: then nothing may be repeated, limited or late. */
  readonly calm: boolean;
  readonly processes: number;
  /** Bots that all processes serve. */
  readonly bots: readonly string[];
  /** How far the wall clock of a new machine may be off, ms. */
  readonly wallsApartMs: number;
  readonly concurrency: number;
  readonly rates: Rates;
  readonly limits: LimitKind;
  readonly clients: number;
  readonly requests: number;
  /** Private chats, and groups as negative numbers. */
  readonly chats: readonly number[];
  /** Who is subscribed to broadcasts, and the people of one page of them. */
  readonly people: readonly number[];
  /** Of the requests. */
  readonly broadcastShare: number;
  /** Of the messages: those too long for one. */
  readonly longShare: number;
  readonly broadcastPage: number;
  /** Virtual ms after which everything works. */
  readonly faultsEndMs: number;
  readonly store: StoreWeather;
  readonly telegram: TelegramWeather;
  readonly wakes: { readonly lost: number; readonly doubled: number };
  readonly incidents: readonly Incident[];
}

/** Something that happens at a time; what it hits is drawn then. */
export interface Incident {
  readonly atMs: number;
  readonly kind: IncidentKind;
}

const KINDS = [
  'kill',
  'kill',
  'suspend',
  'freeze',
  'drain',
  'actor',
  'actor',
  'store away',
  'outage',
  'cursors',
  'block',
  'unblock',
  'write',
  'write',
  'disk full',
  'clock set',
  'migrate',
  'migrate',
  'pause',
  'pause',
  'cancel',
  'replay',
  'replay',
  'drop',
] as const;
const CALM_KINDS = [
  'drain',
  'write',
  'block',
  'unblock',
  'start',
  'cursors',
  'cursors',
  'cursors',
  'migrate',
  'pause',
  'cancel',
] as const;

/** What can happen. */
export type IncidentKind = (typeof KINDS)[number] | (typeof CALM_KINDS)[number];

/** What of a plan is not left to the seed: `calm`, one without faults; `focus`, only these incidents, many of them, with groups, broadcasts and long texts. */
export interface Wanted {
  readonly calm?: boolean;
  readonly focus?: readonly IncidentKind[];
}

/** Draws a plan. */
export function planOf(random: SeededRandom, { calm: forceCalm = false, focus }: Wanted = {}): Plan {
  const calm = (random.chance(0.15) && focus === undefined) || forceCalm;
  /** Each kind of fault is there in some runs only, so that others are seen alone. */
  const share = (most: number): number => (calm || random.chance(0.5) ? 0 : random.next() * most);
  const faultsEndMs = random.whole(8, 40) * 1_000;
  const kinds: readonly IncidentKind[] = focus ?? kindsOf(random, calm);
  const incidents = Array.from(
    { length: kinds.length === 0 ? 0 : random.whole(focus === undefined ? 0 : 8, calm ? 20 : 16) },
    () => ({
      atMs: random.next() * faultsEndMs,
      kind: random.pick(kinds),
    }),
  );
  const privates = random.whole(1, 12);
  const groups = random.whole(focus === undefined ? 0 : 1, 2);
  const chats = [
    ...Array.from({ length: privates }, (_, index) => 101 + index),
    ...Array.from({ length: groups }, (_, index) => -201 - index),
  ];
  return {
    calm,
    bots: random.chance(0.2) ? ['7', '8'] : ['7'],
    wallsApartMs: random.chance(0.5) ? 0 : random.next() * 20_000,
    processes: random.whole(calm ? 2 : 1, 3),
    concurrency: random.pick([1, 2, 4, 4, 8, 16]),
    rates: { perSecond: random.pick([30, 30, 10, 5]), perChatSecond: random.pick([1, 1, 2]), perGroupMinute: 20 },
    limits: random.pick(['sliding', 'bucket', 'strict']),
    clients: random.whole(1, calm ? 2 : 4),
    requests: random.whole(3, 18),
    chats,
    people: random.chance(0.5) || focus !== undefined ? chats : [],
    broadcastShare: random.pick([0.1, 0.3]),
    longShare: random.chance(0.5) || focus !== undefined ? 0.06 : 0,
    broadcastPage: random.whole(2, 6),
    faultsEndMs,
    store: {
      latencyMs: random.pick([1, 3, 10]),
      commitMs: random.pick([0.5, 3, 20]),
      lost: share(0.03),
      answerLost: share(0.05),
      late: share(0.03),
      cut: share(0.03),
      slow: share(0.02),
    },
    telegram: {
      latencyMs: random.pick([2, 20, 60]),
      jitterMs: calm ? 20 : random.pick([20, 20, 60, 300]),
      refused: share(0.05),
      requestLost: share(0.05),
      answerLost: share(0.08),
      error500: share(0.08),
      tooMany: share(0.05),
      slow: share(0.05),
      late: share(0.03),
    },
    wakes: { lost: share(0.8), doubled: share(0.5) },
    incidents: incidents.sort((a, b) => a.atMs - b.atMs),
  };
}

function kindsOf(random: SeededRandom, calm: boolean): readonly IncidentKind[] {
  if (calm) return CALM_KINDS;
  return random.chance(0.5) ? KINDS : KINDS.filter(() => random.chance(0.5));
}
