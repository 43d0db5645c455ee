import { elements, fields, type RawValue, Type } from '../bson/raw-value.js';
import { int32, integerOf, stringOf } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { badValue, failedToParse, notImplemented, StoreError } from '../errors.js';
import { commandScope, type Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { openGroup } from '../query/group.js';
import { compileReshape } from '../query/reshape.js';
import { parseSort } from '../query/sort.js';
import type { Command } from '../wire/message.js';
import { batchSizeOf, startCursor } from './batches.js';
import {
  checkCollation,
  checkFields,
  countOption,
  documentField,
  type Handler,
  hintOf,
  namespaceOf,
} from './context.js';
import { arraySource, openQuery, type Query, type Source, sortedList } from './query.js';
import { timeLimit } from './time-limit.js';

interface Stage {
  readonly name: string;
  readonly operand: RawValue;
}

/** One stage at work: gets documents, hands them on; `finish` hands on what it kept. `add` returns true when it wants no more. */
interface Flow {
  add(document: RawValue): boolean;
  finish(): void;
}

const PIECE_BYTES = 8 * 1024 * 1024;
const MAX_RESULT_BYTES = 100 * 1024 * 1024;

/** The stages of a command's pipeline. Throws on shapes that are none, and by name on stages that are refused. */
export function stagesOf(command: Command): Stage[] {
  const pipeline = command.fields.get('pipeline');
  if (pipeline?.type !== Type.array) throw failedToParse("'pipeline' option must be specified as an array");
  return elements(pipeline).map((one) => {
    const list = one.type === Type.object ? fields(one) : [];
    const [only] = list;
    if (only === undefined || list.length !== 1) {
      throw new StoreError(
        40323,
        'Location40323',
        'A pipeline stage specification object must contain exactly one field.',
      );
    }
    const [name, operand] = only;
    if (name === '$changeStream') {
      throw new StoreError(
        40573,
        'Location40573',
        'The $changeStream stage is only supported on replica sets: the embedded store has no change streams',
      );
    }
    return { name, operand };
  });
}

function whole(operand: RawValue, name: string, least: number): number {
  const number = integerOf(operand, name);
  if (number < least) throw badValue(`invalid argument to ${name} stage: ${number}`);
  return number;
}

function sliceFlow(stage: Stage, next: Flow): Flow {
  if (stage.name === '$skip') {
    let left = whole(stage.operand, '$skip', 0);
    return {
      add(document) {
        if (left === 0) return next.add(document);
        left--;
        return false;
      },
      finish: () => next.finish(),
    };
  }
  let left = whole(stage.operand, '$limit', 1);
  return {
    add(document) {
      if (left <= 0) return true;
      left--;
      return next.add(document) || left === 0;
    },
    finish: () => next.finish(),
  };
}

function flowOf(stage: Stage, scope: Scope, next: Flow): Flow {
  const reshape = compileReshape(stage.name, stage.operand, scope);
  if (reshape !== undefined) return { add: (document) => next.add(reshape(document)), finish: () => next.finish() };
  switch (stage.name) {
    case '$match': {
      const filter = compileFilter(documentField(stage.operand, '$match'), scope);
      return { add: (document) => filter.matches(document) && next.add(document), finish: () => next.finish() };
    }
    case '$skip':
    case '$limit':
      return sliceFlow(stage, next);
    case '$sort': {
      const list = sortedList(parseSort(stage.operand), 0);
      let order = 0;
      return {
        add(document) {
          list.add(order++, document);
          return false;
        },
        finish() {
          for (const { document } of list.take()) if (next.add(document)) break;
          next.finish();
        },
      };
    }
    case '$group': {
      const group = openGroup(documentField(stage.operand, '$group'), scope);
      return {
        add(document) {
          group.add(document);
          return false;
        },
        finish() {
          for (const document of group.results()) if (next.add(document)) break;
          next.finish();
        },
      };
    }
    case '$count': {
      const name = stringOf(stage.operand, '$count');
      if (name === '' || name.startsWith('$') || name.includes('.')) throw badValue('$count needs a plain field name');
      let n = 0;
      return {
        add() {
          n++;
          return false;
        },
        finish() {
          if (n > 0) next.add(documentOf([[name, int32(n)]]));
          next.finish();
        },
      };
    }
    default:
      throw notImplemented(`the aggregation stage ${stage.name}`);
  }
}

/** Takes the stages that a query can do from the front: $match, then $sort, then $skip and $limit. */
function queryOf(stages: Stage[], scope: Scope): Omit<Query, 'hint' | 'time'> {
  const take = (name: string): RawValue | undefined => (stages[0]?.name === name ? stages.shift()?.operand : undefined);
  const filter = compileFilter(documentField(take('$match'), '$match'), scope);
  const sort = parseSort(take('$sort'));
  const skip = take('$skip');
  const limit = take('$limit');
  return {
    filter,
    sort,
    skip: skip === undefined ? 0 : whole(skip, '$skip', 0),
    limit: limit === undefined ? 0 : whole(limit, '$limit', 1),
  };
}

async function runFlow(source: Source, stages: readonly Stage[], scope: Scope): Promise<Source> {
  const results: RawValue[] = [];
  let bytes = 0;
  let flow: Flow = {
    add(document) {
      results.push(document);
      bytes += document.end - document.start;
      if (bytes > MAX_RESULT_BYTES) {
        throw new StoreError(
          292,
          'QueryExceededMemoryLimitNoDiskUseAllowed',
          'the results of this aggregation exceed 100 MB',
        );
      }
      return false;
    },
    finish: () => undefined,
  };
  for (const stage of [...stages].reverse()) flow = flowOf(stage, scope, flow);
  let enough = false;
  while (!enough && !source.ended()) {
    for (const document of await source.pull(256, PIECE_BYTES)) {
      enough = flow.add(document);
      if (enough) break;
    }
  }
  flow.finish();
  return arraySource(results);
}

/** `aggregate` with $match, $sort, $skip, $limit, $project, $group and $count; any other stage is refused by its name. */
export const aggregate: Handler = async (store, command) => {
  checkFields(
    command,
    ['pipeline', 'cursor', 'allowDiskUse', 'hint', 'collation', 'bypassDocumentValidation', 'let'],
    ['explain', 'exchange', 'fromMongos', 'needsMerge'],
  );
  checkCollation(command.fields.get('collation'));
  const scope = commandScope(command.fields.get('let'), store.now());
  const stages = stagesOf(command);
  if (command.fields.get('aggregate')?.type !== Type.string) throw notImplemented('aggregations of a whole database');
  const namespace = namespaceOf(command);
  const collection = store.catalog.find(namespace);
  if (!command.fields.has('cursor'))
    throw failedToParse("The 'cursor' option is required, except for aggregate with the explain argument");
  const time = timeLimit(countOption(command, 'maxTimeMS'));
  const query = {
    ...queryOf(stages, scope),
    hint: hintOf(command.fields.get('hint'), collection),
    time,
  };
  // Compiled once even for a collection that is not there, so that a refusal does not depend on it.
  const source = collection === undefined ? arraySource([]) : openQuery(store, collection, query);
  const results = stages.length === 0 ? source : await runFlow(source, stages, scope);
  return await startCursor(store, command, { namespace, source: results, batchSize: batchSizeOf(command), time });
};

/** The query at the head of a pipeline, for explain. */
export function aggregateQuery(command: Command, scope: Scope): Query {
  return { ...queryOf(stagesOf(command), scope) };
}
