import { elements, fields, type RawValue, Type } from '../bson/raw-value.js';
import { StoreError, typeMismatch } from '../errors.js';
import type { Scope } from '../query/expression.js';
import { compileReshape, type Reshape } from '../query/reshape.js';
import type { Update } from './change.js';
import { replaced } from './replacement.js';

// MongoDB's other stages: they are known, but no part of an update.
const OTHER_STAGES = new Set(
  (
    '$bucket $bucketAuto $changeStream $changeStreamSplitLargeEvent $collStats $count $currentOp $densify $documents $facet $fill $geoNear $graphLookup ' +
    '$group $indexStats $limit $listLocalSessions $listSampledQueries $listSearchIndexes $listSessions $lookup $match $merge $out $planCacheStats $querySettings ' +
    '$redact $sample $search $searchMeta $setWindowFields $shardedDataDistribution $skip $sort $sortByCount $unionWith $unwind $vectorSearch'
  ).split(' '),
);

function reshapeOf(stage: RawValue, scope: Scope): Reshape {
  const [only, ...others] = stage.type === Type.object ? fields(stage) : [];
  if (stage.type !== Type.object) throw typeMismatch('Each element of the pipeline of an update must be an object');
  if (only === undefined || others.length > 0)
    throw new StoreError(
      40323,
      'Location40323',
      'A pipeline stage specification object must contain exactly one field.',
    );
  const [name, operand] = only;
  const reshape = compileReshape(name, operand, scope);
  if (reshape !== undefined) return reshape;
  if (OTHER_STAGES.has(name))
    throw new StoreError(72, 'InvalidOptions', `${name} is not allowed to be used within an update`);
  throw new StoreError(40324, 'Location40324', `Unrecognized pipeline stage name: '${name}'`);
}

/** Compiles a pipeline of stages that each make one document of one document. Throws InvalidOptions (72) on a stage that no update has, 40324 on one that is none, 40323 or
 * TypeMismatch (14) on a wrong shape, and as compileReshape. */
export function pipeline(source: RawValue, scope: Scope): Update {
  const stages = elements(source).map((stage) => reshapeOf(stage, scope));
  return {
    replaces: false,
    usesMatch: false,
    touched: undefined,
    apply: (document, moment) =>
      replaced(
        document,
        stages.reduce((value, stage) => stage(value), document),
        moment,
      ),
  };
}
