import { StoreError } from '../errors.js';
import type { Command } from '../wire/message.js';
import { buildInfo, connectionStatus, explain, hello, nothing, refused, serverStatus } from './admin.js';
import { aggregate } from './aggregate.js';
import { collStats, create, dbStats, drop, dropDatabase, listCollections, listDatabases } from './collections.js';
import type { Asker, Handler, Store } from './context.js';
import { findAndModify } from './find-and-modify.js';
import { createIndexes, dropIndexes, listIndexes } from './indexes.js';
import { count, distinct, find, getMore, killCursors } from './read.js';
import { errorReply } from './reply.js';
import { insert, remove, update } from './write.js';

const HANDLERS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['hello', hello],
  ['isMaster', hello],
  ['ismaster', hello],
  ['ping', nothing],
  ['endSessions', nothing],
  ['killSessions', nothing],
  ['refreshSessions', nothing],
  ['buildInfo', buildInfo],
  ['buildinfo', buildInfo],
  ['serverStatus', serverStatus],
  ['connectionStatus', connectionStatus],
  ['explain', explain],
  ['find', find],
  ['getMore', getMore],
  ['killCursors', killCursors],
  ['count', count],
  ['distinct', distinct],
  ['aggregate', aggregate],
  ['insert', insert],
  ['update', update],
  ['delete', remove],
  ['findAndModify', findAndModify],
  ['findandmodify', findAndModify],
  ['create', create],
  ['drop', drop],
  ['dropDatabase', dropDatabase],
  ['listCollections', listCollections],
  ['listDatabases', listDatabases],
  ['collStats', collStats],
  ['dbStats', dbStats],
  ['createIndexes', createIndexes],
  ['listIndexes', listIndexes],
  ['dropIndexes', dropIndexes],
  ...(
    'abortTransaction commitTransaction startSession bulkWrite mapReduce renameCollection collMod validate compact saslStart getParameter ' +
    'setParameter convertToCapped createUser currentOp killOp hostInfo fsync top whatsmyuri getLog atlasVersion'
  )
    .split(' ')
    .map((name): [string, Handler] => [name, refused(`the command ${name}`)]),
]);

/** Carries one command out and answers with a BSON document, an error's too. Never rejects. */
export async function dispatch(
  store: Store,
  command: Command,
  asker: Asker,
  onBug: (error: unknown, name: string) => void,
): Promise<Buffer> {
  try {
    const handler = HANDLERS.get(command.name);
    if (handler === undefined) throw new StoreError(59, 'CommandNotFound', `no such command: '${command.name}'`);
    return await handler(store, command, asker);
  } catch (error) {
    if (!(error instanceof StoreError)) onBug(error, command.name);
    return errorReply(error);
  }
}
