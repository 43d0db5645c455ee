import { elements, type RawValue, Type } from '../bson/raw-value.js';
import { documentOf } from '../bson/writer.js';
import { failedToParse, notImplemented, StoreError } from '../errors.js';
import { located } from '../query/expression/operator.js';
import { commandScope, compileExpression, type Scope } from '../query/expression.js';
import type { Command } from '../wire/message.js';
import { batchSizeOf, startCursor } from './batches.js';
import { checkCollation, checkFields, countOption, type Handler, hintOf, namespaceOf } from './context.js';
import { compileOutput } from './output.js';
import { pipelineQuery, type Site, type Stage, stagesOf } from './pipeline.js';
import { arraySource, openQuery, type Query, type Source } from './query.js';
import { cursorReply } from './reply.js';
import { compileFlow } from './stages.js';
import { collStatsDocument } from './statistics.js';
import { timeLimit } from './time-limit.js';

/** The documents of a $documents stage, with which a pipeline of no collection begins. */
function literalDocuments({ operand }: Stage, scope: Scope): RawValue[] {
  const value = compileExpression(operand, scope)(documentOf([]));
  const list = value?.type === Type.array ? elements(value) : undefined;
  if (list === undefined || list.some(({ type }) => type !== Type.object))
    throw located(5858203, 'an array of objects is expected for $documents');
  return list;
}

// Besides $documents, what MongoDB lets a pipeline of no collection begin with.
const OF_THE_SERVER = ['$currentOp', '$listLocalSessions', '$listSessions', '$queryStats', '$shardedDataDistribution'];

function needsCollection(first: Stage | undefined): StoreError {
  if (first !== undefined && OF_THE_SERVER.includes(first.name))
    return notImplemented(`the aggregation stage ${first.name}`);
  return new StoreError(
    73,
    'InvalidNamespace',
    `{aggregate: 1} is not valid for '${first?.name ?? 'an empty pipeline'}'; a collection is required.`,
  );
}

/** What a pipeline makes of a collection. */
function collectionSource(
  command: Command,
  namespace: string,
  stages: readonly Stage[],
  site: Site,
  scope: Scope,
): Source {
  const { store, time } = site;
  const [first, ...others] = stages;
  if (first?.name === '$collStats') {
    const flow = compileFlow(others, site, scope);
    return flow(arraySource([collStatsDocument(store, namespace, first.operand)]));
  }
  const collection = store.catalog.find(namespace);
  const { query, rest } = pipelineQuery(stages, scope);
  // Compiled even for a collection that is not there, so that a refusal does not depend on it.
  const flow = compileFlow(rest, site, scope);
  const hint = hintOf(command.fields.get('hint'), collection);
  return flow(collection === undefined ? arraySource([]) : openQuery(store, collection, { ...query, time, hint }));
}

/** `aggregate`. Stages, accumulators and expressions that are not served are refused by their names. */
export const aggregate: Handler = async (store, command) => {
  checkFields(
    command,
    ['pipeline', 'cursor', 'allowDiskUse', 'hint', 'collation', 'bypassDocumentValidation', 'let'],
    ['explain', 'exchange', 'fromMongos', 'needsMerge'],
  );
  checkCollation(command.fields.get('collation'));
  const scope = commandScope(command.fields.get('let'), store.now());
  const stages = stagesOf(command.fields.get('pipeline'));
  if (!command.fields.has('cursor'))
    throw failedToParse("The 'cursor' option is required, except for aggregate with the explain argument");
  const time = timeLimit(countOption(command, 'maxTimeMS'));
  const site: Site = { store, database: command.database, time };
  const output = compileOutput(stages.at(-1), site, scope);
  if (output !== undefined) stages.pop();
  let namespace: string;
  let source: Source;
  if (command.fields.get('aggregate')?.type === Type.string) {
    namespace = namespaceOf(command);
    source = collectionSource(command, namespace, stages, site, scope);
  } else {
    namespace = `${command.database}.$cmd.aggregate`;
    const [first, ...rest] = stages;
    if (first?.name !== '$documents') throw needsCollection(first);
    source = compileFlow(rest, site, scope)(arraySource(literalDocuments(first, scope)));
  }
  if (output !== undefined) {
    await output(source);
    return cursorReply('firstBatch', namespace, 0n, []);
  }
  return await startCursor(store, command, { namespace, source, batchSize: batchSizeOf(command), time });
};

/** The query at the head of a pipeline, for explain. */
export function aggregateQuery(command: Command, scope: Scope): Query {
  return pipelineQuery(stagesOf(command.fields.get('pipeline')), scope).query;
}
