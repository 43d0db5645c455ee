import { chatSpacingMs, type Rates, windowOf } from './pacing.js';

/** A standby takes over when the owner's (epoch, beat) stood still for this long. */
export const LEASE_MS = 9_000;
/** The owner beats this often. */
export const BEAT_MS = 3_000;
/** The owner starts no call when its last acknowledged beat began longer ago than this. */
export const NO_CALL_AFTER_MS = 6_000;
/** The owner destroys its sockets to Telegram when its last acknowledged beat began longer ago than this. */
export const DESTROY_AFTER_MS = 7_500;
/** After a takeover: no call, and no call to a group, for at least this long. */
export const QUIET_MS = 1_050;
/** The same for groups. */
export const GROUP_QUIET_MS = 3_050;
/** What is added to the period of a lower rate: the ways of the calls of the owner before are not known, ms. */
const UNKNOWN_WAY_MS = 45;
/** After a takeover: chats of calls that had begun rest this long. */
export const BEGUN_REST_MS = 5_000;
/** A standby looks at the lease this often. */
export const STANDBY_LOOK_MS = 1_000;
/** No new call while a commit has been outstanding for this long. */
export const COMMIT_STALL_MS = 1_000;

/** How long a new owner is silent, since the sends of the one before are not known: `calls` for all, `groups` for groups (ms from the takeover). Lower rates need longer. Never throws. */
export function quietMs(rates: Rates): { readonly calls: number; readonly groups: number } {
  const calls = Math.max(
    QUIET_MS,
    windowOf(rates.perSecond).ms + UNKNOWN_WAY_MS,
    chatSpacingMs(1, rates) + UNKNOWN_WAY_MS,
  );
  return { calls, groups: Math.max(calls, GROUP_QUIET_MS, chatSpacingMs(-1, rates) + UNKNOWN_WAY_MS) };
}

/**
 * The owner's view of its lease: the age of its last acknowledged beat, from the start of that beat, by the faster of the monotonic and the wall
 * clock (the monotonic one stands still in a suspended machine, the wall clock may be set back). Times in ms. No method throws.
 */
export interface OwnerClock {
  /** A beat that started at these times was acknowledged; an older one than known changes nothing. The takeover's write is the first beat. */
  acknowledged(startMono: number, startWall: number): void;
  /** ms since the start of the last acknowledged beat; Infinity before the first. */
  age(nowMono: number, nowWall: number): number;
  mayCall(nowMono: number, nowWall: number): boolean;
  mustDestroy(nowMono: number, nowWall: number): boolean;
}

/** An owner's clock without an acknowledged beat: it may not call. Never throws. */
export function ownerClock(): OwnerClock {
  let mono = Number.NEGATIVE_INFINITY;
  let wall = Number.NEGATIVE_INFINITY;
  const age = (nowMono: number, nowWall: number): number => Math.max(nowMono - mono, nowWall - wall);
  return {
    acknowledged(startMono, startWall) {
      if (startMono < mono) return;
      mono = startMono;
      wall = startWall;
    },
    age,
    mayCall: (nowMono, nowWall) => age(nowMono, nowWall) < NO_CALL_AFTER_MS,
    mustDestroy: (nowMono, nowWall) => age(nowMono, nowWall) >= DESTROY_AFTER_MS,
  };
}

/** A standby's view of another's lease. */
export interface StandbyClock {
  /**
   * Takes one look in: what was read, when the read was asked and (default: the same) answered, by the standby's own monotonic clock.
   * `take-over` when the same (epoch, beat) was already read at least 9 s before this look was asked. Never throws.
   */
  seen(epoch: number, beat: number, askedMono: number, answeredMono?: number): 'wait' | 'take-over';
}

/** A standby that has seen nothing yet. Never throws. */
export function standbyClock(): StandbyClock {
  let epoch: number | undefined;
  let beat: number | undefined;
  let since = 0;
  return {
    seen(nowEpoch, nowBeat, askedMono, answeredMono = askedMono) {
      if (nowEpoch === epoch && nowBeat === beat) return askedMono - since >= LEASE_MS ? 'take-over' : 'wait';
      epoch = nowEpoch;
      beat = nowBeat;
      since = answeredMono;
      return 'wait';
    },
  };
}
