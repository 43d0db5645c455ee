import type { Log } from '../../log.js';
import type { Clock } from '../clock.js';
import { affected, backoffDelay, type ChildSpec, countRestart } from '../supervision.js';
import { actorError } from './actor-error.js';
import type { NodeState } from './contract.js';

/** What restarts need of a place in the tree, be it the supervisor or a child. */
export interface Place {
  readonly label: string;
  readonly path: string;
  readonly spec: ChildSpec;
  readonly children: ReadonlyMap<string, Place>;
  readonly state: NodeState;
  readonly removed: boolean;
  readonly halted: boolean;
  readonly host: {
    readonly clock: Clock;
    readonly random: () => number;
    readonly log: Log;
    parked(path: string, error: Error): void;
  };
  start(): Promise<void>;
  stop(reason: 'restart'): Promise<void>;
  fail(error: Error, spent: boolean): void;
  lay(state: 'parked'): void;
}

/** What a lane has to look at: a child that is down by a fault, or a parked one whose time to be tried has come. */
interface Incident {
  readonly child: Place;
  readonly error: Error | undefined;
  readonly spent: boolean;
}

/** Incidents that are treated one after another: one-for-one has a lane for each child, the other strategies have one. */
interface Lane {
  readonly key: Place;
  readonly incidents: Incident[];
  /** Children that wait for the lane to start them. */
  readonly down: Set<Place>;
  wake: () => void;
  work: Promise<void> | undefined;
}

const nothing = (): void => undefined;

/** How one node treats the faults of its children: its strategy, its budget, waits before restarts, and the parked. */
export class Restarts {
  readonly #owner: Place;
  readonly #times: number[] = [];
  /** Restarts of children that have a budget of their own. */
  readonly #own = new WeakMap<Place, number[]>();
  readonly #lanes = new Map<Place, Lane>();
  readonly #parked = new Map<Place, () => void>();

  constructor(owner: Place) {
    this.#owner = owner;
  }

  /** A new start of the owner begins with an unspent budget. */
  reset(): void {
    this.#times.length = 0;
  }

  /** A child that ran has failed and is stopped with all that is under it. */
  failed(child: Place, error: Error, spent: boolean): void {
    if (this.#owner.halted || child.removed) return;
    const lane = this.#lane(child);
    // It was taken down by the lane meanwhile, for the sake of a sibling: that restart is its restart too.
    if (lane.down.has(child)) return;
    this.#report(child, { child, error, spent });
  }

  /** Treats what happened while the owner started. */
  resume(): void {
    for (const lane of this.#lanes.values()) this.#begin(lane);
  }

  /** Ends all waits; the lanes end when they see that the owner is halted. */
  interrupt(): void {
    for (const lane of this.#lanes.values()) lane.wake();
  }

  /** Resolves when no lane works any more. */
  async idle(): Promise<void> {
    while (this.#lanes.size > 0) {
      const [key, lane] = [...this.#lanes][0] ?? [];
      await lane?.work;
      if (key !== undefined && lane?.work === undefined) this.#lanes.delete(key);
    }
  }

  /** Leaves a failed child stopped, says so, and arms the next try. */
  park(child: Place, error: Error): void {
    const { host } = this.#owner;
    child.lay('parked');
    this.#arm(child);
    host.log.error({ path: child.label, err: error, retryMs: child.spec.policy.parkRetryMs }, 'actor parked');
    host.parked(child.path, error);
  }

  /** A child is stopped for another reason than its faults: if it was parked, it is not tried again. */
  unpark(child: Place): void {
    this.#parked.get(child)?.();
    this.#parked.delete(child);
  }

  /** Ends the wait of a child that is being removed, if it waits alone. */
  wake(child: Place): void {
    this.#lanes.get(child)?.wake();
  }

  /** Resolves when no restart that could touch a new sibling is under way. */
  async quiet(): Promise<void> {
    if (this.#owner.spec.policy.strategy === 'one-for-one') return;
    for (let lane = this.#lanes.get(this.#owner); lane?.work !== undefined; lane = this.#lanes.get(this.#owner)) {
      await lane.work;
    }
  }

  #arm(child: Place): void {
    const cancel = this.#owner.host.clock.setTimer(child.spec.policy.parkRetryMs, () => {
      this.#parked.delete(child);
      if (this.#owner.halted || child.removed || child.state !== 'parked') return;
      this.#report(child, { child, error: undefined, spent: false });
    });
    this.#parked.set(child, cancel);
  }

  #key(child: Place): Place {
    return this.#owner.spec.policy.strategy === 'one-for-one' ? child : this.#owner;
  }

  #lane(child: Place): Lane {
    const key = this.#key(child);
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane: Lane = { key, incidents: [], down: new Set(), wake: nothing, work: undefined };
    this.#lanes.set(key, lane);
    return lane;
  }

  #report(child: Place, incident: Incident): void {
    const lane = this.#lane(child);
    lane.incidents.push(incident);
    lane.wake();
    this.#begin(lane);
  }

  #begin(lane: Lane): void {
    if (lane.work !== undefined || this.#owner.state !== 'running') return;
    lane.work = this.#run(lane).finally(() => {
      lane.work = undefined;
      if (lane.incidents.length > 0) this.#begin(lane);
      else this.#lanes.delete(lane.key);
    });
  }

  async #run(lane: Lane): Promise<void> {
    while (lane.incidents.length > 0 || lane.down.size > 0) {
      let delayMs = 0;
      for (let next = lane.incidents.shift(); next !== undefined; next = lane.incidents.shift()) {
        if (this.#owner.halted) break;
        const wait = next.child.removed ? undefined : await this.#treat(lane, next);
        delayMs = Math.max(delayMs, wait ?? 0);
      }
      if (this.#owner.halted) break;
      await this.#sleep(lane, delayMs);
      if (lane.incidents.length === 0) await this.#startDown(lane);
      if (this.#owner.halted) break;
    }
    // Who halts the owner starts all of its children again, or none.
    lane.incidents.length = 0;
    lane.down.clear();
  }

  /** Decides on one incident and takes down whom it concerns; answers the wait before they are started, in ms. */
  async #treat(lane: Lane, incident: Incident): Promise<number | undefined> {
    const { child, error, spent } = incident;
    const owner = this.#owner;
    if (error === undefined) {
      if (child.state === 'parked') lane.down.add(child);
      return 0;
    }
    const { policy } = owner.spec;
    const parks = child.spec.policy.exhausted === 'park';
    const budget = parks ? child.spec.policy.budget : policy.budget;
    const times = parks ? this.#ownTimes(child) : this.#times;
    const count = parks && spent ? Number.POSITIVE_INFINITY : countRestart(budget, times, owner.host.clock.now());
    if (count > budget.restarts) {
      if (parks) {
        lane.down.delete(child);
        times.length = 0;
        this.park(child, error);
        return undefined;
      }
      const text = `${owner.label} restarted its children ${budget.restarts} times within ${budget.withinMs} ms; then ${child.label} failed: ${error.message}`;
      owner.fail(actorError('PH_ACTOR_BUDGET_SPENT', text, error), true);
      return undefined;
    }
    const order = [...owner.children.values()].filter((node) => !node.removed && node.state !== 'parked');
    const concerned = affected(policy.strategy, order, child);
    for (const node of concerned) lane.down.add(node);
    for (const node of [...concerned].reverse()) {
      if (owner.halted) return undefined;
      if (node !== child) await node.stop('restart');
    }
    const waitMs = backoffDelay(policy.backoff, count, owner.host.random);
    owner.host.log.warn({ path: child.label, inMs: Math.round(waitMs), with: concerned.length - 1 }, 'actor restarts');
    return waitMs;
  }

  #ownTimes(child: Place): number[] {
    const known = this.#own.get(child);
    if (known !== undefined) return known;
    const times: number[] = [];
    this.#own.set(child, times);
    return times;
  }

  async #startDown(lane: Lane): Promise<void> {
    for (const child of this.#owner.children.values()) {
      if (this.#owner.halted || lane.incidents.length > 0) return;
      if (!lane.down.has(child)) continue;
      // Off the list first: if it fails right after its start, that is a new incident.
      lane.down.delete(child);
      if (child.removed) continue;
      const wasParked = child.state === 'parked';
      try {
        await child.start();
      } catch (error) {
        if (this.#owner.halted || child.removed) continue;
        if (wasParked) {
          this.park(child, error as Error);
          continue;
        }
        lane.down.add(child);
        lane.incidents.unshift({ child, error: error as Error, spent: false });
        return;
      }
    }
    lane.down.clear();
  }

  #sleep(lane: Lane, delayMs: number): Promise<void> {
    if (delayMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#owner.host.clock.setTimer(delayMs, () => {
        lane.wake = nothing;
        resolve();
      });
      lane.wake = () => {
        lane.wake = nothing;
        cancel();
        resolve();
      };
    });
  }
}
