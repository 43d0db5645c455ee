import { BEAT_MS, LEASE_MS, ownerClock, STANDBY_LOOK_MS, standbyClock } from '../delivery/lease-clock.js';
import type { Log } from '../log.js';
import type { OwnerRow } from './models.js';
import { type SoundOwner, soundOwner } from './owner-row.js';
import { type ProcessIdentity, provablyDead, sameProcess } from './process-identity.js';
import { duplicateKey, type Store, StoreError } from './store.js';

/** What a takeover found: the new epoch, and what the one before had begun. */
export interface LeaseGrant {
  readonly bot: string;
  readonly part: 'send' | 'receive';
  readonly epoch: number;
  /** Ids of at-most-once calls the owner before had begun. */
  readonly begun: readonly string[];
  /** update_ids the owner before was handling. */
  readonly handling: readonly number[];
  /** The throttled rate of the owner before, messages a second; absent = none. */
  readonly rate?: number;
  /** Epoch ms until which Telegram makes the bot wait, as the owner before was told; absent = it was not. */
  readonly waitUntil?: number;
}

/** What an owner publishes about its part. All are absolute values. */
export interface Published {
  readonly begun?: readonly string[];
  readonly handling?: readonly number[];
  readonly rate?: number | undefined;
  readonly waitUntil?: number;
  readonly waiting?: number;
  readonly ready?: boolean;
}

/** One wish to own a part; it stays a wish until `release`. */
export interface Holding {
  /** The grant that holds now; undefined while another owns the part. */
  readonly grant: LeaseGrant | undefined;
  /** The live process that owns the part: it was seen beating; undefined when none was. */
  readonly holder: ProcessIdentity | undefined;
  /** True while a new call may begin: the last acknowledged beat began less than 6 s ago by the faster clock. */
  mayCall(): boolean;
  /** True when 7.5 s have passed: the part's Telegram sockets must be destroyed. */
  mustDestroy(): boolean;
  /** Goes with the next beat. */
  publish(fields: Published): void;
  /** Durable when it resolves. Rejects with PH_LEASE_FENCED when another owns the part by now. */
  publishNow(fields: Published): Promise<void>;
  /** A write showed that another owns the part: the grant ends now. */
  fenced(reason: string): void;
  /** Tells another listener from now on: a restarted actor goes on with the lease it had. */
  listen(events: HoldingEvents): void;
  /** Sets the owner to null, so that a standby follows at once, and ends the wish. */
  release(): Promise<void>;
}

/** What becomes of a wish. */
export interface HoldingEvents {
  granted(grant: LeaseGrant): void;
  /** Another process owns the part: everything of the old epoch must be dropped. */
  lost(reason: string): void;
}

/** The leases of this process: all beats are one bulk write, all looks of a standby one query. */
export interface LeaseKeeper {
  hold(bot: string, part: 'send' | 'receive', events: HoldingEvents): Holding;
  /** Ends the timers; releases nothing by itself. */
  stop(): void;
}

/** The clock the keeper needs; a Clock of the actor runtime fits. */
export interface KeeperClock {
  now(): number;
  wallNow(): number;
  setTimer(delayMs: number, run: () => void): () => void;
}

interface Wish {
  readonly bot: string;
  readonly part: 'send' | 'receive';
  events: HoldingEvents;
  grant: LeaseGrant | undefined;
  holder: ProcessIdentity | undefined;
  /** The epoch and beat of the last look. */
  seen: string | undefined;
  beat: number;
  fields: {
    begun: readonly string[];
    handling: readonly number[];
    rate?: number | undefined;
    waitUntil?: number;
    waiting: number;
    ready: boolean;
  };
  owner: ReturnType<typeof ownerClock>;
  standby: ReturnType<typeof standbyClock>;
  /** Since when a document that was edited by hand has stood still, and how it reads; told of once. */
  unsound: { readonly text: string; readonly since: number } | undefined;
  /** Rows of the part's results may be of a later epoch than its lease. */
  outdated: boolean;
  ended: boolean;
  /** Owner writes go one at a time: absolute values that overtook each other would lose an id. */
  writing: Promise<void> | undefined;
  version: number;
  written: number;
}

/** Starts the keeper of a process. Store errors are a state: it goes on trying, and `mayCall` turns false by the clock. */
export function leaseKeeper(store: Store, self: ProcessIdentity, clock: KeeperClock, log: Log): LeaseKeeper {
  const owners = store.models.Owners.collection;
  const results = store.models.Results.collection;
  const wishes = new Set<Wish>();
  let stopped = false;
  let beating = false;
  let looking = false;
  let lookAgain = false;

  const held = () => [...wishes].filter((wish) => wish.grant !== undefined && !wish.ended);
  const wanted = () => [...wishes].filter((wish) => wish.grant === undefined && !wish.ended);

  async function beat(): Promise<void> {
    const mine = held().filter((wish) => wish.writing === undefined); // a write under way is a beat by itself
    if (mine.length === 0) return;
    const work = beatOf(mine);
    for (const wish of mine) track(wish, work);
    await work;
  }

  function track(wish: Wish, work: Promise<void>): void {
    const done = work
      .catch(() => undefined)
      .then(() => {
        if (wish.writing === done) wish.writing = undefined;
      });
    wish.writing = done;
  }

  async function beatOf(mine: readonly Wish[]): Promise<void> {
    const startMono = clock.now();
    const startWall = clock.wallNow();
    const beats = mine.map((wish) => {
      const epoch = wish.grant?.epoch ?? -1;
      return { wish, epoch, write: ownWrite(wish, epoch) };
    });
    const answer = await owners.bulkWrite(
      beats.map(({ write }) => ({ updateOne: write })),
      { ordered: false },
    );
    if (answer.matchedCount === mine.length) {
      for (const { wish } of beats) wish.owner.acknowledged(startMono, startWall);
      return;
    }
    for (const { wish, epoch, write } of beats) {
      const row = await owners.findOne({ bot: wish.bot, part: wish.part }, { projection: { epoch: 1, beat: 1 } });
      if (wish.grant?.epoch !== epoch) continue;
      if (row?.epoch === epoch && row.beat === write.update.$set.beat) wish.owner.acknowledged(startMono, startWall);
      else fenced(wish, 'another process owns the part');
    }
  }

  function fenced(wish: Wish, reason: string): void {
    if (wish.grant === undefined) return;
    log.warn({ bot: wish.bot, part: wish.part, epoch: wish.grant.epoch }, `lease lost: ${reason}`);
    wish.grant = undefined;
    wish.standby = standbyClock();
    wish.fields = { begun: [], handling: [], waiting: 0, ready: false };
    if (!wish.ended) wish.events.lost(reason);
  }

  async function look(): Promise<void> {
    const open = wanted();
    if (open.length === 0) return;
    const rows = (await owners
      .find({ bot: { $in: [...new Set(open.map((wish) => wish.bot))] } })
      .toArray()) as unknown as OwnerRow[];
    const lasting: (() => Promise<void>)[] = [];
    for (const wish of open) {
      const row = rows.find((one) => one.bot === wish.bot && one.part === wish.part);
      if (row === undefined) {
        lasting.push(() => create(wish));
        continue;
      }
      const { sound, wrong } = soundOwner(row);
      if (wrong.length > 0) {
        if (stoodStill(wish, row, wrong)) lasting.push(() => mend(wish, row, sound));
        continue;
      }
      wish.unsound = undefined;
      // Alive is who was seen beating, not who is written down.
      const mark = `${row.epoch}/${row.beat}`;
      if (wish.seen !== undefined && wish.seen !== mark) wish.holder = row.owner ?? undefined;
      wish.seen = mark;
      const free = row.owner === null || sameProcess(row.owner, self) || provablyDead(row.owner, self);
      if (free || wish.standby.seen(row.epoch, row.beat, clock.now()) === 'take-over') await takeOver(wish, row);
    }
    // These read all results of their bot (see resultsEpoch): the others do not wait for that.
    for (const work of lasting) await work();
  }

  /** Whether a document that was edited by hand has been as it is for as long as a lease holds: no owner writes it any more. */
  function stoodStill(wish: Wish, row: OwnerRow, wrong: readonly string[]): boolean {
    const text = JSON.stringify(row);
    if (wish.unsound?.text !== text) {
      if (wish.unsound === undefined)
        log.error(
          { bot: wish.bot, part: wish.part, code: 'PH_OWNER_DOCUMENT', wrong },
          'a document of owners is not as an owner writes it (edited by hand?): it is mended once it has stood still for as long as a lease holds',
        );
      wish.unsound = { text, since: clock.now() };
    }
    return clock.now() - wish.unsound.since >= LEASE_MS;
  }

  /** Takes over a document that was edited by hand: what is sound of it stays, the epoch goes above all that results know. */
  async function mend(wish: Wish, row: OwnerRow, sound: SoundOwner): Promise<void> {
    const epoch = Math.max(sound.epoch, await resultsEpoch(wish)) + 1;
    const startMono = clock.now();
    const startWall = clock.wallNow();
    const { begun, handling, rate, waitUntil } = sound;
    const gone = { ...(rate === undefined ? { rate: '' } : {}), ...(waitUntil === undefined ? { waitUntil: '' } : {}) };
    const raw = row as unknown as Record<string, unknown>;
    const same = (field: string) => (field in raw ? { [field]: { $eq: raw[field] } } : { [field]: { $exists: false } });
    const answer = await owners.updateOne({ _id: row._id, ...same('epoch'), ...same('beat') }, {
      $set: { owner: self, epoch, beat: 0, begun, handling, waiting: 0, ready: false },
      ...(Object.keys(gone).length === 0 ? {} : { $unset: gone }),
    } as never);
    if (answer.matchedCount === 0) return; // somebody wrote it meanwhile: the next look decides
    wish.unsound = undefined;
    log.warn({ bot: wish.bot, part: wish.part, epoch }, 'a document of owners was mended');
    const more = { ...(rate === undefined ? {} : { rate }), ...(waitUntil === undefined ? {} : { waitUntil }) };
    grant(wish, { bot: wish.bot, part: wish.part, epoch, begun, handling, ...more }, startMono, startWall);
  }

  /**
   * The latest epoch that results of this bot's sending know: whoever owns it must have a later one. It reads all of them, what was sent in the last 7 days: no index is kept
   * for it, which each write of results would pay for, while this is asked when a document was edited or deleted by hand, and of a new bot, which has none.
   */
  async function resultsEpoch({ bot, part }: Wish): Promise<number> {
    if (part !== 'send') return 0;
    const latest = await results.findOne({ bot }, { sort: { epoch: -1 }, projection: { epoch: 1 } });
    const epoch = Number(latest?.epoch ?? 0);
    return Number.isSafeInteger(epoch) ? epoch : 0;
  }

  async function create(wish: Wish): Promise<void> {
    // Of a bot whose document was deleted there may be results already.
    const epoch = (await resultsEpoch(wish)) + 1;
    const startMono = clock.now();
    const startWall = clock.wallNow();
    try {
      await owners.insertOne({
        bot: wish.bot,
        part: wish.part,
        owner: self,
        epoch,
        beat: 0,
        ...wish.fields,
      } as never);
    } catch (error) {
      if (duplicateKey(error) === undefined) throw error;
      return; // another was first, or our own lost answer: the next look decides
    }
    grant(wish, { bot: wish.bot, part: wish.part, epoch, begun: [], handling: [] }, startMono, startWall);
  }

  async function takeOver(wish: Wish, row: OwnerRow): Promise<void> {
    // After a refused write of results the lease may have been set back by hand: one takeover passes all that they know.
    const epoch = Math.max(row.epoch, wish.outdated ? await resultsEpoch(wish) : 0) + 1;
    const startMono = clock.now();
    const startWall = clock.wallNow();
    const before = (await owners.findOneAndUpdate(
      { bot: wish.bot, part: wish.part, epoch: row.epoch, beat: row.beat },
      { $set: { owner: self, epoch, beat: 0, ready: false } },
      { returnDocument: 'before' },
    )) as unknown as OwnerRow | null;
    if (before === null) return; // it beat, or another was faster
    wish.outdated = false;
    const { begun, handling, rate, waitUntil } = before;
    grant(
      wish,
      {
        bot: wish.bot,
        part: wish.part,
        epoch,
        begun,
        handling,
        ...(rate === undefined || rate === null ? {} : { rate }),
        ...(waitUntil === undefined || waitUntil === null ? {} : { waitUntil }),
      },
      startMono,
      startWall,
    );
  }

  function grant(wish: Wish, given: LeaseGrant, startMono: number, startWall: number): void {
    // First of all: what the owner before had begun must stay written down, also when the wish has ended meanwhile.
    wish.fields = {
      begun: given.begun,
      handling: given.handling,
      waiting: 0,
      ready: false,
      ...(given.rate === undefined ? {} : { rate: given.rate }),
      ...(given.waitUntil === undefined ? {} : { waitUntil: given.waitUntil }),
    };
    wish.beat = 0;
    if (wish.ended) {
      void surrender(wish, given.epoch);
      return;
    }
    wish.owner = ownerClock();
    wish.owner.acknowledged(startMono, startWall);
    wish.grant = given;
    wish.holder = self;
    log.info({ bot: wish.bot, part: wish.part, epoch: given.epoch }, 'lease taken');
    wish.events.granted(given);
  }

  /** A write of the owner. Its beat keeps out a write whose answer was lost and that is applied after later ones: it would take begun ids away. */
  function ownWrite(wish: Wish, epoch: number) {
    wish.beat += 1;
    return {
      filter: { bot: wish.bot, part: wish.part, epoch, beat: { $lte: wish.beat } },
      update: { $set: { beat: wish.beat, ...wish.fields } },
    };
  }

  async function write(wish: Wish, epoch: number): Promise<void> {
    const { version } = wish;
    const startMono = clock.now();
    const startWall = clock.wallNow();
    const { filter, update } = ownWrite(wish, epoch);
    const answer = await owners.updateOne(filter, update);
    if (answer.matchedCount === 0) {
      if (wish.grant?.epoch === epoch) fenced(wish, 'a write was refused');
      throw new StoreError('PH_LEASE_FENCED', 'another process owns this part');
    }
    wish.written = version;
    if (wish.grant?.epoch === epoch) wish.owner.acknowledged(startMono, startWall);
  }

  async function surrender(wish: Wish, epoch: number): Promise<void> {
    const { filter, update } = ownWrite(wish, epoch);
    await owners.updateOne(filter, { $set: { ...update.$set, owner: null, ready: false } }).catch((error: unknown) => {
      log.warn(
        { bot: wish.bot, part: wish.part, error: String(error) },
        'a lease could not be released; it runs out by itself',
      );
    });
  }

  const every = (ms: number, busy: () => boolean, work: () => Promise<void>, what: string) => {
    let cancel = clock.setTimer(ms, tick);
    function tick(): void {
      if (stopped) return;
      cancel = clock.setTimer(ms, tick);
      if (busy()) return;
      work().catch((error: unknown) => {
        log.debug({ error: String(error) }, `${what} failed; tried again`);
      });
    }
    return () => cancel();
  };
  const guardedBeat = async () => {
    beating = true;
    try {
      await beat();
    } finally {
      beating = false;
    }
  };
  const guardedLook = async () => {
    looking = true;
    try {
      do {
        lookAgain = false;
        await look();
      } while (lookAgain);
    } finally {
      looking = false;
    }
  };
  const ends = [
    every(BEAT_MS, () => beating, guardedBeat, 'beat'),
    every(STANDBY_LOOK_MS, () => looking, guardedLook, 'look'),
  ];

  return {
    hold(bot, part, events) {
      const wish: Wish = {
        bot,
        part,
        events,
        grant: undefined,
        holder: undefined,
        seen: undefined,
        beat: 0,
        fields: { begun: [], handling: [], waiting: 0, ready: false },
        owner: ownerClock(),
        standby: standbyClock(),
        unsound: undefined,
        outdated: false,
        ended: false,
        writing: undefined,
        version: 0,
        written: 0,
      };
      wishes.add(wish);
      if (looking) lookAgain = true;
      else {
        guardedLook().catch((error: unknown) => {
          log.debug({ error: String(error) }, 'look failed; tried again');
        });
      }
      return {
        get grant() {
          return wish.grant;
        },
        get holder() {
          return wish.holder;
        },
        mayCall: () => wish.grant !== undefined && wish.owner.mayCall(clock.now(), clock.wallNow()),
        mustDestroy: () => wish.grant !== undefined && wish.owner.mustDestroy(clock.now(), clock.wallNow()),
        publish(fields) {
          wish.fields = { ...wish.fields, ...fields };
        },
        async publishNow(fields) {
          wish.fields = { ...wish.fields, ...fields };
          const epoch = wish.grant?.epoch ?? -1;
          wish.version += 1;
          const mine = wish.version;
          while (wish.written < mine || wish.grant?.epoch !== epoch) {
            if (wish.grant?.epoch !== epoch) throw new StoreError('PH_LEASE_FENCED', 'another process owns this part');
            if (wish.writing !== undefined) await wish.writing;
            else {
              const work = write(wish, epoch);
              track(wish, work);
              await work;
            }
          }
        },
        fenced(reason) {
          wish.outdated = true;
          fenced(wish, reason);
        },
        listen(events) {
          wish.events = events;
        },
        async release() {
          wish.ended = true;
          wishes.delete(wish);
          if (wish.writing !== undefined) await wish.writing;
          const given = wish.grant;
          wish.grant = undefined;
          if (given !== undefined) await surrender(wish, given.epoch);
        },
      };
    },
    stop() {
      stopped = true;
      for (const end of ends) end();
    },
  };
}
