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
