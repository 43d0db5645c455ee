import type { SendLine } from '../../src/actors/send-line.js';
import type { Acceptance } from '../../src/store/acceptance.js';
import type { PageLog } from '../../src/store/page-log.js';
import type { SendStore } from '../../src/store/send-store.js';
import type { Store } from '../../src/store/store.js';
import type { TelegramClient } from '../../src/telegram/client.js';
import type { Host, Kernel } from './kernel.js';
import type { Rewrite } from './model-store.js';
import type { WakeBus } from './process.js';

/** A mistake that the protocol rules out, put into the engine through the dependencies that it is given anyway. */
export interface PlantedBug {
  readonly name: string;
  readonly rewrite?: Rewrite;
  readonly pageLog?: (store: Store, clock: { wallNow(): number }) => PageLog;
  readonly acceptance?: (real: Acceptance) => Acceptance;
  readonly client?: (real: TelegramClient, kernel: Kernel, host: Host) => TelegramClient;
  readonly sendStore?: (real: SendStore, kernel: Kernel, host: Host) => SendStore;
  readonly line?: (real: SendLine) => SendLine;
  readonly wakes?: (bus: WakeBus, host: Host, listener: () => void, kernel: Kernel) => () => void;
}
