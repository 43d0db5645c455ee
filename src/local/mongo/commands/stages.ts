import { randomInt } from 'node:crypto';
import { isNumber, toDouble } from '../bson/numbers.js';
import { fields, type RawValue, Type } from '../bson/raw-value.js';
import { int32, stringOf } from '../bson/values.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { notImplemented, StoreError } from '../errors.js';
import { BY_COUNT, compileBucket, compileCountBy } from '../query/bucket.js';
import { located } from '../query/expression/operator.js';
import type { Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { compileGroup, type OpenGroup } from '../query/group.js';
import { compileReshape } from '../query/reshape.js';
import { parseSort } from '../query/sort.js';
import { compileUnwind } from '../query/unwind.js';
import { compileLookup, compileUnion } from './lookup.js';
import { countOf, type Flow, type Site, type Stage, stagesOf } from './pipeline.js';
import { arraySource, sortedList } from './query.js';
import { concatenated, deferred, drain, expanded, keptBytes, shared } from './stream.js';

const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

function documentOperand({ name, operand }: Stage, code: number): RawValue {
  if (operand.type !== Type.object) throw located(code, `the ${name} stage needs an object`);
  return operand;
}

function grouped(open: OpenGroup, { time }: Site): Flow {
  return (source) =>
    deferred(async () => {
      const group = open();
      await drain(source, time, (document) => {
        group.add(document);
        return false;
      });
      return arraySource(group.results());
    });
}

/** Sorts; `keep`: how many of the first are wanted, 0 for all. */
function sorted(operand: RawValue, keep: number, { time }: Site): Flow {
  const parts = parseSort(operand);
  if (parts.length === 0) throw located(15976, '$sort stage must have at least one sort key');
  return (source) =>
    deferred(async () => {
      const list = sortedList(parts, keep);
      let order = 0;
      await drain(source, time, (document) => {
        list.add(order++, document);
        return false;
      });
      return arraySource(list.take().map(({ document }) => document));
    });
}

function limited(count: number, { time }: Site): Flow {
  return (source) => {
    let left = count;
    const inner = expanded(source, time, (document) => (left-- > 0 ? [document] : undefined));
    return {
      ended: () => inner.ended() || left <= 0,
      pull: (max, maxBytes) => inner.pull(Math.min(max, left), maxBytes),
    };
  };
}

function skipped(count: number, { time }: Site): Flow {
  return (source) => {
    let left = count;
    return expanded(source, time, (document) => (left-- > 0 ? [] : [document]));
  };
}

function counted(stage: Stage, { time }: Site): Flow {
  const name = stringOf(stage.operand, '$count');
  if (name === '' || name.startsWith('$') || name.includes('.'))
    throw located(40158, "the count field must be a non-empty string without '$' at its beginning and without '.'");
  return (source) =>
    deferred(async () => {
      let n = 0;
      await drain(source, time, () => {
        n++;
        return false;
      });
      return arraySource(n === 0 ? [] : [documentOf([[name, int32(n)]])]);
    });
}

function sampled(stage: Stage, { time }: Site): Flow {
  let size: number | undefined;
  for (const [name, value] of fields(documentOperand(stage, 28745))) {
    if (name !== 'size') throw located(28748, `unrecognized option to $sample: ${name}`);
    if (!isNumber(value.type)) throw located(28746, 'size argument to $sample must be a number');
    size = Math.trunc(toDouble(value));
    if (!(size > 0)) throw located(28747, 'size argument to $sample must be a positive integer');
  }
  if (size === undefined) throw located(28749, '$sample stage must specify a size');
  const wanted = size;
  return (source) =>
    deferred(async () => {
      const kept = keptBytes('$sample');
      const list: RawValue[] = [];
      let seen = 0;
      await drain(source, time, (document) => {
        seen++;
        if (list.length < wanted) {
          kept(document);
          list.push(document);
          return false;
        }
        const at = randomInt(seen);
        if (at < wanted) list[at] = document;
        return false;
      });
      for (let i = list.length - 1; i > 0; i--) {
        const j = randomInt(i + 1);
        [list[i], list[j]] = [list[j] as RawValue, list[i] as RawValue];
      }
      return arraySource(list);
    });
}

const NOT_IN_FACET = new Set(['$facet', '$out', '$merge', '$documents', '$collStats', '$indexStats', '$geoNear']);

function faceted(stage: Stage, site: Site, scope: Scope): Flow {
  const facets = fields(documentOperand(stage, 40169)).map(([name, pipeline]) => {
    if (name.includes('.') || name.startsWith('$'))
      throw located(name.includes('.') ? 40235 : 16410, `'${name}' is no name for a facet`);
    if (pipeline.type !== Type.array) throw located(40170, `arguments to $facet must be arrays, ${name} is not`);
    const stages = stagesOf(pipeline);
    for (const inner of stages)
      if (NOT_IN_FACET.has(inner.name))
        throw located(40600, `${inner.name} is not allowed to be used within a $facet stage`);
    return { name, flow: compileFlow(stages, site, scope) };
  });
  if (facets.length === 0) throw located(40169, 'the $facet specification must be a non-empty object');
  return (source) =>
    deferred(async () => {
      const readers = shared(source, facets.length);
      const parts = await Promise.all(
        facets.map(async ({ name, flow }, i) => {
          const reader = readers[i] as (typeof readers)[number];
          const kept = keptBytes('$facet');
          const list: RawValue[] = [];
          try {
            await drain(flow(reader.source), site.time, (document) => {
              kept(document);
              list.push(document);
              return false;
            });
          } finally {
            reader.leave();
          }
          return [name, arrayOf(list)] as const;
        }),
      );
      const document = documentOf(parts);
      if (document.end - document.start > MAX_DOCUMENT_BYTES) {
        throw new StoreError(10334, 'BSONObjectTooLarge', 'the document of a $facet is larger than 16 MiB');
      }
      return arraySource([document]);
    });
}

function compileStage(stage: Stage, rest: readonly Stage[], site: Site, scope: Scope): Flow {
  const { name, operand } = stage;
  const reshape = compileReshape(name, operand, scope);
  if (reshape !== undefined) return (source) => expanded(source, site.time, (document) => [reshape(document)]);
  switch (name) {
    case '$match': {
      const filter = compileFilter(documentOperand(stage, 15959), scope);
      return (source) => expanded(source, site.time, (document) => (filter.matches(document) ? [document] : []));
    }
    case '$skip':
      return skipped(countOf(stage, 0), site);
    case '$limit':
      return limited(countOf(stage, 1), site);
    case '$sort':
      return sorted(documentOperand(stage, 15973), wantedOf(rest), site);
    case '$group':
      return grouped(compileGroup(operand, scope), site);
    case '$bucket':
      return grouped(compileBucket(operand, scope), site);
    case '$sortByCount': {
      const count = grouped(compileCountBy(operand, scope), site);
      const sort = sorted(BY_COUNT, wantedOf(rest), site);
      return (source) => sort(count(source));
    }
    case '$count':
      return counted(stage, site);
    case '$unwind': {
      const unwind = compileUnwind(operand);
      return (source) => expanded(source, site.time, unwind);
    }
    case '$sample':
      return sampled(stage, site);
    case '$facet':
      return faceted(stage, site, scope);
    case '$lookup':
      return compileLookup(operand, site, scope, compileFlow);
    case '$unionWith': {
      const open = compileUnion(operand, site, scope, compileFlow);
      return (source) => concatenated([source, open()]);
    }
    case '$out':
    case '$merge':
      throw located(40601, `${name} can only be the final stage in the pipeline`);
    case '$documents':
      throw located(40602, '$documents is only valid as the first stage in a pipeline of a whole database');
    default:
      if (KNOWN_TO_MONGODB.has(name)) throw notImplemented(`the aggregation stage ${name}`);
      throw located(40324, `Unrecognized pipeline stage name: '${name}'`);
  }
}

const KNOWN_TO_MONGODB = new Set(
  (
    '$bucketAuto $changeStreamSplitLargeEvent $collStats $currentOp $densify $fill $geoNear $graphLookup $indexStats $listLocalSessions ' +
    '$listSampledQueries $listSearchIndexes $listSessions $planCacheStats $querySettings $queryStats $rankFusion $redact $search $searchMeta ' +
    '$setWindowFields $shardedDataDistribution $vectorSearch'
  ).split(' '),
);

/** How many documents the stages behind a sort want of it: 0 for all. */
function wantedOf(rest: readonly Stage[]): number {
  let skip = 0;
  for (const stage of rest) {
    if (stage.name === '$limit') return countOf(stage, 1) + skip;
    if (stage.name !== '$skip') return 0;
    skip += countOf(stage, 0);
  }
  return 0;
}

/** Compiles a list of stages. Throws MongoDB's codes on operands of a wrong shape, NotImplemented by name on stages that are refused. */
export function compileFlow(stages: readonly Stage[], site: Site, scope: Scope): Flow {
  const flows = stages.map((stage, i) => compileStage(stage, stages.slice(i + 1), site, scope));
  return (source) => flows.reduce((before, flow) => flow(before), source);
}
