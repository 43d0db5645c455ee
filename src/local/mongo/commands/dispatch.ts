import { StoreError } from '../errors.js';
import type { Command } from '../wire/message.js';
import { buildInfo, connectionStatus, explain, hello, ping, refused, serverStatus } from './admin.js';
import { aggregate } from './aggregate.js';
import { collMod, renameCollection } from './alter.js';
import { endSessions, getMore, killCursors, refreshSessions } from './batches.js';
import { bulkWrite } from './bulk-write.js';
import { create, drop, dropDatabase, listCollections } from './collections.js';
import type { Asker, Handler, Store } from './context.js';
import { findAndModify } from './find-and-modify.js';
import { createIndexes, dropIndexes, listIndexes } from './indexes.js';
import { count, distinct, find } from './read.js';
import { errorReply } from './reply.js';
import { collStats, dbStats, listDatabases } from './statistics.js';
import { insert, remove, update } from './write.js';

/** Commands of MongoDB that are not implemented; what is no command of it at all is answered with CommandNotFound. */
const REFUSED =
  'abortTransaction authenticate autoCompact clone cloneCollectionAsCapped commitTransaction compact configureFailPoint ' +
  'convertToCapped createRole createSearchIndexes createUser currentOp dataSize dbHash dropAllRolesFromDatabase ' +
  'dropAllUsersFromDatabase dropConnections dropRole dropSearchIndex dropUser features filemd5 fsync fsyncUnlock getAuditConfig ' +
  'getCmdLineOpts getDefaultRWConcern getLog getParameter grantPrivilegesToRole grantRolesToRole grantRolesToUser hostInfo ' +
  'killAllSessions killAllSessionsByPattern killOp killSessions listCommands listSearchIndexes lockInfo logRotate logout mapReduce ' +
  'planCacheClear planCacheClearFilters planCacheListFilters planCacheSetFilter profile reIndex removeQuerySettings ' +
  'replSetGetConfig replSetGetStatus replSetInitiate revokePrivilegesFromRole revokeRolesFromRole revokeRolesFromUser ' +
  'rolesInfo rotateCertificates saslContinue saslStart setClusterParameter getClusterParameter setDefaultRWConcern ' +
  'setFeatureCompatibilityVersion setIndexCommitQuorum setParameter setProfilingFilterGlobally setQuerySettings ' +
  'setUserWriteBlockMode shutdown startSession top updateRole updateSearchIndex updateUser usersInfo validate validateDBMetadata ' +
  'voteCommitIndexBuild whatsmyuri atlasVersion';

/** Commands that are of the whole server. */
const ADMIN_ONLY: ReadonlySet<string> = new Set(['bulkWrite', 'listDatabases', 'renameCollection']);

const HANDLERS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['hello', hello],
  ['isMaster', hello],
  ['ismaster', hello],
  ['ping', ping],
  ['endSessions', endSessions],
  ['refreshSessions', refreshSessions],
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
  ['bulkWrite', bulkWrite],
  ['findAndModify', findAndModify],
  ['findandmodify', findAndModify],
  ['create', create],
  ['drop', drop],
  ['collMod', collMod],
  ['renameCollection', renameCollection],
  ['dropDatabase', dropDatabase],
  ['listCollections', listCollections],
  ['listDatabases', listDatabases],
  ['collStats', collStats],
  ['collstats', collStats],
  ['dbStats', dbStats],
  ['dbstats', dbStats],
  ['createIndexes', createIndexes],
  ['listIndexes', listIndexes],
  ['dropIndexes', dropIndexes],
  ...REFUSED.split(' ').map((name): [string, Handler] => [name, refused(`the command ${name}`)]),
]);

// What a driver asks to stay connected.
const WITHOUT_FILE = new Set([
  'hello',
  'isMaster',
  'ismaster',
  'ping',
  'endSessions',
  'buildInfo',
  'buildinfo',
  'serverStatus',
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
    if (ADMIN_ONLY.has(command.name) && command.database !== 'admin') {
      throw new StoreError(13, 'Unauthorized', `${command.name} may only be run against the admin database.`);
    }
    if (!WITHOUT_FILE.has(command.name)) store.engine.checkReadable();
    return await handler(store, command, asker);
  } catch (error) {
    if (!(error instanceof StoreError)) onBug(error, command.name);
    return errorReply(error);
  }
}
