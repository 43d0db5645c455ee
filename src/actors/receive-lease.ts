import type { Holding } from '../store/lease-keeper.js';

/** What receiving asks of a lease that it holds or waits for. */
export type ReceiveHolding = Pick<Holding, 'grant' | 'holder' | 'mayCall' | 'publish' | 'publishNow' | 'release'>;

/** The receive lease as the sibling `bot` sees it. `round` tells one beginning from the next; what belongs to an older one counts no more. */
export interface ReceiveLease {
  readonly round: number;
  mayCall(): boolean;
  /** Makes the ids of the updates that are being handled durable. Rejects with PH_LEASE_FENCED when the round is over. */
  publishNow(handling: readonly number[]): Promise<void>;
  /** The same with the next beat. */
  publish(handling: readonly number[]): void;
}

/** What the receiving of a bot is doing, for readiness and operators. `standby`: another process owns it. */
export interface IngressStatus {
  readonly state: 'polling' | 'standby' | 'degraded' | 'unauthorized';
  readonly detail?: string;
}

/**
 * Makes the lease of one round: it ends with `over`. `handling.ids` follows what was published last, so that a restart of the bot alone can tell
 * what it was handling.
 */
export function receiveLease(
  round: number,
  holding: ReceiveHolding,
  over: AbortSignal,
  handling: { ids: readonly number[] },
): ReceiveLease {
  return {
    round,
    mayCall: () => !over.aborted && holding.mayCall(),
    async publishNow(ids) {
      if (over.aborted) {
        throw Object.assign(new Error('this round of receiving is over'), { code: 'PH_LEASE_FENCED' });
      }
      handling.ids = ids;
      await holding.publishNow({ handling: [...ids] });
    },
    publish(ids) {
      if (over.aborted) return;
      handling.ids = ids;
      holding.publish({ handling: [...ids] });
    },
  };
}
