import { bug } from './bug.js';

/** The urgency of a message: within a chat and between chats a higher lane goes first. */
export type Lane = 'reply' | 'notify' | 'bulk';

/** What may happen to a message whose call ended without a clear answer: sent again, or never repeated. */
export type MessageClass = 'at-least-once' | 'at-most-once';

/** All lanes, the highest first; the place in the list is the lane's stored code. */
export const LANES: readonly Lane[] = ['reply', 'notify', 'bulk'];

const CLASSES: readonly MessageClass[] = ['at-least-once', 'at-most-once'];

/** The stored code (u8, 0 to 2, the highest lane is 0) of a lane; never throws. */
export function laneCode(lane: Lane): number {
  return LANES.indexOf(lane);
}

/** The lane of a stored code; throws PH_LANE_CODE for any other number than 0, 1, 2. */
export function laneOf(code: number): Lane {
  const lane = LANES[code];
  if (lane === undefined) throw bug('PH_LANE_CODE', `${code} is no lane`);
  return lane;
}

/** The stored code (u8, 0 or 1) of a message class; never throws. */
export function classCode(klass: MessageClass): number {
  return CLASSES.indexOf(klass);
}

/** The message class of a stored code; throws PH_CLASS_CODE for any other number than 0, 1. */
export function classOf(code: number): MessageClass {
  const klass = CLASSES[code];
  if (klass === undefined) throw bug('PH_CLASS_CODE', `${code} is no message class`);
  return klass;
}

/** What a lower lane that waits is owed of each call of a higher one: so each gets at least a tenth or so of the calls, however much waits above it. */
const LOW_SHARE = 0.1;
/** A lane is never owed more than this: what it could not take in time is not made up for at the cost of replies. */
const MOST_OWED = 10;

/** What the lower lanes of a bot are owed of the calls of higher ones. A lane is a bit 1 << code in a mask. No method throws. */
export interface LaneShares {
  /** Of the lanes of the mask but the highest, the one that is owed most, when that is a call or more, and how many. */
  owed(mask: number): { readonly lane: Lane; readonly calls: number } | undefined;
  /** Counts the calls that a turn of a lane made while the lanes of `mask` waited. */
  made(lane: Lane, calls: number, mask: number): void;
}

/** Shares of a bot's lanes, nothing owed yet. Never throws. */
export function laneShares(): LaneShares {
  const owed = LANES.map(() => 0);
  return {
    owed(mask) {
      let best: { lane: Lane; calls: number } | undefined;
      for (const lane of LANES.filter((one) => (mask & (1 << laneCode(one))) !== 0).slice(1)) {
        const calls = owed[laneCode(lane)] ?? 0;
        if (calls >= (best?.calls ?? 1)) best = { lane, calls };
      }
      return best === undefined ? undefined : { lane: best.lane, calls: Math.floor(best.calls) };
    },
    made(lane, calls, mask) {
      const of = laneCode(lane);
      LANES.forEach((_, code) => {
        const before = owed[code] ?? 0;
        if (code === of) owed[code] = Math.max(0, before - calls);
        else if ((mask & (1 << code)) === 0) owed[code] = 0;
        else if (code > of) owed[code] = Math.min(MOST_OWED, before + calls * LOW_SHARE);
      });
    },
  };
}
