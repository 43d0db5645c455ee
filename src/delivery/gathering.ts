/** A commit waits until this share of the slots has ended, if the last two together carried as many: calls end as fast as commits do. */
const GATHER_SHARE = 0.95;
/** The longest wait, by what the last commit took: calls that were begun at its acknowledgement take about as long, and one in twenty a little longer. */
const COMMITS = 2;
/** The longest wait, ms. */
const MOST_MS = 10;

/**
 * Whether a commit that could begin waits for more outcomes (docs/decisions/0021-commits.md). Back to back alone, calls without latency fall into step
 * with the commits: one of nearly all slots, one of the few that were left, in turn; the small one costs as much and frees hardly anything. Pure.
 */
export interface Gathering {
  /** A commit of so many outcomes, begun at `since`, was acknowledged; times in monotonic ms. */
  acknowledged(outcomes: number, since: number, now: number): void;
  /** Until when the next commit waits, ms; undefined: it begins now. `ended`: outcomes that it would carry. */
  until(ended: number, now: number): number | undefined;
}

/** Makes the gathering of one bot with so many slots. */
export function gathering(slots: number): Gathering {
  let before = 0;
  let last = 0;
  let end = Number.NEGATIVE_INFINITY;
  return {
    acknowledged(outcomes, since, now) {
      before = last;
      last = outcomes;
      end = now + Math.min(MOST_MS, COMMITS * (now - since));
    },
    until: (ended, now) =>
      now < end && before + last >= slots * GATHER_SHARE && ended < slots * GATHER_SHARE ? end : undefined,
  };
}
