import { serialize } from 'bson';
import { type Database, open } from 'lmdb';
import { BOT, documentOf, idOf } from './store-documents.js';
import type { Subject } from './store-subject.js';

const TRANSACTION = 1_000;

type Table = Database<Buffer, Buffer>;

function updateKey(updateId: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeDoubleBE(updateId);
  return Buffer.concat([Buffer.from(BOT), key]);
}

function stateKey(state: string, updateId: number): Buffer {
  return Buffer.concat([Buffer.from(`${BOT}\0${state}\0`), updateKey(updateId)]);
}

/** What the file itself can do: lmdb in this process, without protocol, queries or documents that are understood. The same documents, by _id, and two index tables;
 * each transaction is flushed before it counts. Throws what lmdb throws. */
export function rawLmdb(directory: string): Subject {
  const root = open<Buffer, Buffer>({
    path: directory,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    mapSize: 16 * 1024 ** 3,
    overlappingSync: false,
    eventTurnBatching: false,
  });
  const table = (name: string): Table => root.openDB(name, { encoding: 'binary', keyEncoding: 'binary' });
  const docs = table('docs');
  const byUpdate = table('byUpdate');
  const byState = table('byState');
  const states = new Map<number, string>();
  let nextClaim = 0;

  const stateOf = (number: number): string => states.get(number) ?? 'queued';
  const keyOf = (number: number): Buffer => Buffer.from(idOf(number).id);
  const updateIdOf = (number: number): number => documentOf(number).updateId;

  function change(number: number, state: string, bytes: Buffer): void {
    const id = keyOf(number);
    docs.putSync(id, bytes);
    byState.removeSync(stateKey(stateOf(number), updateIdOf(number)));
    byState.putSync(stateKey(state, updateIdOf(number)), id);
    states.set(number, state);
  }

  function copyOf(number: number): Buffer {
    const bytes = docs.get(keyOf(number));
    if (bytes === undefined) throw new Error(`document ${number} is missing`);
    return Buffer.from(bytes);
  }

  return {
    insert(from, count) {
      const rows = Array.from({ length: count }, (_, i) => {
        const document = documentOf(from + i);
        const id = Buffer.from(document._id.id);
        const bytes = Buffer.from(serialize(document));
        return { id, bytes, update: updateKey(document.updateId), state: stateKey(document.state, document.updateId) };
      });
      return async () => {
        for (let at = 0; at < rows.length; at += TRANSACTION) {
          await root.childTransaction(() => {
            for (const row of rows.slice(at, at + TRANSACTION)) {
              docs.putSync(row.id, row.bytes);
              byUpdate.putSync(row.update, row.id);
              byState.putSync(row.state, row.id);
            }
          });
        }
      };
    },
    findById(numbers) {
      return async () => {
        for (const number of numbers) copyOf(number);
      };
    },
    claim(times, inFlight) {
      return async () => {
        for (let left = times; left > 0; left -= inFlight) {
          // What several clients ask for at once is one transaction, as in the store.
          await root.childTransaction(() => {
            for (let i = Math.min(inFlight, left); i > 0; i--, nextClaim++)
              change(nextClaim, 'claimed', copyOf(nextClaim));
          });
        }
      };
    },
    update(numbers, state) {
      return async () => {
        await root.childTransaction(() => {
          for (const number of numbers) change(number, state, copyOf(number));
        });
      };
    },
    group(documents) {
      return async () => {
        let n = 0;
        for (const { value } of docs.getRange({})) if (value.length > 0) n++;
        if (n !== documents) throw new Error(`${n} documents instead of ${documents}`);
      };
    },
    close: () => root.close(),
  };
}
