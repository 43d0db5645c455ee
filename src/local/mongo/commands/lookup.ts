import { eachElement, fields, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { NULL } from '../bson/values.js';
import { arrayOf, documentOf } from '../bson/writer.js';
import { failedToParse, notImplemented, typeMismatch } from '../errors.js';
import { checkVariableName, fieldNames } from '../query/expression/field-path.js';
import { located, type Variable } from '../query/expression/operator.js';
import { compileExpression, type Expression, type Scope } from '../query/expression.js';
import { type Path, pathOf, visitPath } from '../query/path.js';
import { addComputed, projectionNode, setExpression } from '../query/projection-tree.js';
import { type Flow, pipelineQuery, type Site, type Stage, stagesOf } from './pipeline.js';
import { arraySource, openQuery, type Source } from './query.js';
import { deferred, drain, expanded } from './stream.js';

/** Compiles a list of stages: handed in, since stages hold pipelines that hold stages. */
type CompileFlow = (stages: readonly Stage[], site: Site, scope: Scope) => Flow;

const MAX_JOINED_BYTES = 16_793_600; // MongoDB's limit of a document in memory

/** Reads a collection through a pipeline; `also`: what its documents must fulfil beside. */
function openCollection(
  name: string,
  also: RawValue | undefined,
  stages: readonly Stage[],
  site: Site,
  scope: Scope,
  compile: CompileFlow,
): Source {
  const collection = site.store.catalog.find(`${site.database}.${name}`);
  const { query, rest } = pipelineQuery(stages, scope, also);
  const flow = compile(rest, site, scope);
  if (collection === undefined) return flow(arraySource([]));
  return flow(openQuery(site.store, collection, { ...query, time: site.time }));
}

function subPipeline(source: RawValue | undefined, owner: string, code: number): Stage[] {
  const stages = source === undefined ? [] : stagesOf(source);
  for (const { name } of stages)
    if (name === '$out' || name === '$merge')
      throw located(code, `${name} is not allowed within a ${owner}'s sub-pipeline`);
  return stages;
}

function text(given: ReadonlyMap<string, RawValue>, name: string): string | undefined {
  const value = given.get(name);
  if (value === undefined) return undefined;
  if (name === 'from' && value.type === Type.object) throw notImplemented("a 'from' of another database in $lookup");
  if (value.type !== Type.string) throw failedToParse(`$lookup argument '${name}' must be a string`);
  return textOf(value);
}

/** The filter that finds what equals the values at a path of a document: elements of arrays one by one, null where there is none. */
function equalityFilter(document: RawValue, local: Path, foreign: string): RawValue {
  const values: RawValue[] = [];
  visitPath(document, local, false, (value) => {
    if (value?.type !== Type.array) {
      if (value !== undefined) values.push(value);
      return false;
    }
    return eachElement(value, (element) => {
      values.push(element);
      return false;
    });
  });
  if (values.length === 0) values.push(NULL);
  // A regex in $in would match texts.
  if (values.some(({ type }) => type === Type.regex))
    return documentOf([['$or', arrayOf(values.map((value) => documentOf([[foreign, documentOf([['$eq', value]])]])))]]);
  return documentOf([[foreign, documentOf([['$in', arrayOf(values)]])]]);
}

interface Join {
  readonly from: string;
  readonly as: readonly string[];
  readonly local: Path | undefined;
  readonly foreign: string;
  readonly stages: readonly Stage[];
  readonly variables: readonly (readonly [string, Expression])[];
}

function joinOf(operand: RawValue, scope: Scope): Join {
  if (operand.type !== Type.object) throw failedToParse('the $lookup stage specification must be an object');
  const given = new Map(fields(operand));
  for (const name of given.keys())
    if (!['from', 'localField', 'foreignField', 'as', 'let', 'pipeline'].includes(name))
      throw failedToParse(`unknown argument to $lookup: ${name}`);
  const from = text(given, 'from');
  const as = text(given, 'as');
  const local = text(given, 'localField');
  const foreign = text(given, 'foreignField');
  const letSource = given.get('let');
  if (as === undefined) throw failedToParse("must specify 'as' field for a $lookup");
  if (from === undefined) {
    if (given.has('pipeline')) throw notImplemented("a $lookup without 'from'");
    throw failedToParse("missing 'from' option to $lookup stage specification");
  }
  if ((local === undefined) !== (foreign === undefined))
    throw failedToParse("$lookup requires both or neither of 'localField' and 'foreignField' to be specified");
  if (local === undefined && !given.has('pipeline'))
    throw failedToParse("$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified");
  if (letSource !== undefined && !given.has('pipeline'))
    throw failedToParse("$lookup with a 'let' argument must also specify 'pipeline'");
  if (letSource !== undefined && letSource.type !== Type.object)
    throw typeMismatch("$lookup argument 'let' must be an object");
  for (const path of [local, foreign]) if (path !== undefined) fieldNames(path);
  return {
    from,
    as: fieldNames(as),
    local: local === undefined ? undefined : pathOf(local),
    foreign: foreign ?? '',
    stages: subPipeline(given.get('pipeline'), '$lookup', 51047),
    variables: (letSource === undefined ? [] : fields(letSource)).map(([name, source]) => {
      checkVariableName(name);
      return [name, compileExpression(source, scope)] as const;
    }),
  };
}

/** Compiles a $lookup by equality, by a pipeline or by both; an index on the foreign field is used. Throws FailedToParse (9) on operands of a wrong shape,
 * 51047 on $out and $merge inside. A document whose matches exceed 16 MiB throws 4568. */
export function compileLookup(operand: RawValue, site: Site, scope: Scope, compile: CompileFlow): Flow {
  const join = joinOf(operand, scope);
  let found: RawValue | undefined;
  const node = projectionNode();
  setExpression(node, join.as, () => found);

  function scopeOf(document: RawValue | undefined): Scope {
    const variables = new Map<string, Variable>(scope.variables);
    for (const [name, expression] of join.variables)
      variables.set(name, {
        value: document === undefined ? undefined : expression(document),
        constant: document !== undefined,
      });
    return { ...scope, variables };
  }

  // What is wrong with the inner pipeline is told even when there are no documents.
  compile(join.stages, site, scopeOf(undefined));

  async function matchesOf(document: RawValue): Promise<RawValue> {
    const filter = join.local === undefined ? undefined : equalityFilter(document, join.local, join.foreign);
    const source = openCollection(join.from, filter, join.stages, site, scopeOf(document), compile);
    const list: RawValue[] = [];
    let bytes = 0;
    await drain(source, site.time, (one) => {
      bytes += one.end - one.start;
      if (bytes > MAX_JOINED_BYTES) {
        throw located(
          4568,
          `Total size of documents in ${join.from} matching pipeline's $lookup stage exceeds ${MAX_JOINED_BYTES} bytes`,
        );
      }
      list.push(one);
      return false;
    });
    return arrayOf(list);
  }

  return (source) => {
    // A pipeline that sees nothing of the document is run once.
    const same = join.local === undefined && join.variables.length === 0;
    let once: RawValue | undefined;
    return expanded(source, site.time, async (document) => {
      const matches = once ?? (await matchesOf(document));
      if (same) once = matches;
      found = matches;
      return [addComputed(document, node)];
    });
  };
}

/** Compiles a $unionWith: what it adds, read anew at each call. Throws FailedToParse (9) on operands of a wrong shape, 31441 on $out and $merge inside. */
export function compileUnion(operand: RawValue, site: Site, scope: Scope, compile: CompileFlow): () => Source {
  if (operand.type !== Type.object && operand.type !== Type.string)
    throw failedToParse('the $unionWith stage specification must be an object or string');
  const given = new Map(operand.type === Type.object ? fields(operand) : [['coll', operand] as const]);
  for (const name of given.keys())
    if (name !== 'coll' && name !== 'pipeline') throw failedToParse(`unknown argument to $unionWith: ${name}`);
  const name = given.get('coll');
  if (name === undefined) throw notImplemented("a $unionWith without 'coll'");
  if (name.type !== Type.string) throw failedToParse("$unionWith argument 'coll' must be a string");
  const stages = subPipeline(given.get('pipeline'), '$unionWith', 31441);
  compile(stages, site, scope);
  return () => deferred(() => Promise.resolve(openCollection(textOf(name), undefined, stages, site, scope, compile)));
}
