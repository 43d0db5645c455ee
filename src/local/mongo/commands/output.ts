import { elements, fields, findField, type RawValue, Type, textOf } from '../bson/raw-value.js';
import { resetScratch } from '../bson/scratch.js';
import { newObjectId } from '../bson/values.js';
import { documentOf } from '../bson/writer.js';
import { notImplemented, StoreError, typeMismatch } from '../errors.js';
import { checkVariableName } from '../query/expression/field-path.js';
import { mergeInto } from '../query/expression/objects.js';
import { isNullish, located, type Variable } from '../query/expression/operator.js';
import { compileExpression, type Scope } from '../query/expression.js';
import { compileFilter } from '../query/filter.js';
import { planQuery } from '../query/plan.js';
import type { Collection } from '../storage/catalog.js';
import { openScan } from '../storage/scan.js';
import { replaced } from '../update/replacement.js';
import { storableDocument } from '../update/storable.js';
import { compileUpdate } from '../update/update.js';
import { collectionFor, type Target, target } from './context.js';
import type { Site, Stage } from './pipeline.js';
import type { Source } from './query.js';
import { drain, keptBytes } from './stream.js';
import { insertOne } from './write.js';

/** The end of a pipeline that writes: takes what comes out of it. */
export type Output = (source: Source) => Promise<void>;

function targetOf(value: RawValue, stage: string, database: string): Target {
  let names: readonly [string, string];
  if (value.type === Type.string) names = [database, textOf(value)];
  else if (value.type === Type.object) {
    const given = new Map(fields(value));
    for (const key of given.keys()) {
      if (key === 'timeseries') throw notImplemented(`'timeseries' of ${stage}`);
      if (key !== 'db' && key !== 'coll')
        throw new StoreError(40415, 'Location40415', `BSON field '${stage}.${key}' is an unknown field.`);
    }
    const [db, coll] = [given.get('db'), given.get('coll')];
    if (coll?.type !== Type.string || (db !== undefined && db.type !== Type.string))
      throw located(16994, `If an object is passed to ${stage} it must have 'db' and 'coll' as strings`);
    names = [db === undefined ? database : textOf(db), textOf(coll)];
  } else throw located(stage === '$out' ? 16990 : 51178, `${stage} only supports a string or object argument`);
  const found = target(...names);
  if (found.name.startsWith('system.'))
    throw new StoreError(73, 'InvalidNamespace', `Invalid ${stage} target namespace: ${found.namespace}`);
  return found;
}

async function collect(source: Source, stage: string, site: Site): Promise<RawValue[]> {
  const kept = keptBytes(stage);
  const list: RawValue[] = [];
  await drain(source, site.time, (document) => {
    kept(document);
    list.push(document);
    return false;
  });
  return list;
}

/** Compiles $out: the collection is replaced as a whole, in one transaction, and keeps its indexes. Throws 16990, 16994, 40415 or 73 on a wrong operand. */
function compileOut(operand: RawValue, site: Site): Output {
  const { store } = site;
  const { database, name, namespace } = targetOf(operand, '$out', site.database);
  return async (source) => {
    const documents = (await collect(source, '$out', site)).map((one) => storableDocument(one, 'insert'));
    let failure: StoreError | undefined;
    await store.engine.write(() => {
      const before = store.catalog.find(namespace);
      if (before?.capped !== undefined)
        throw located(17152, `namespace '${namespace}' is capped so it can't be used for $out`);
      const made = store.catalog.create(database, `tmp.agg_out.${newObjectId().bytes.toString('hex')}`);
      try {
        for (const index of before?.indexes ?? [])
          if (index.name !== '_id_') store.catalog.addIndex(made, index.spec, true);
        for (const document of documents) store.records.insert(made, document);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        // What was written for it goes again with the same transaction.
        store.catalog.drop(made);
        failure = error;
        return true;
      }
      if (before !== undefined) store.catalog.drop(before);
      store.catalog.rename(made, database, name);
      return true;
    }, true);
    if (failure !== undefined) throw failure;
  };
}

type WhenMatched = 'replace' | 'merge' | 'keepExisting' | 'fail' | RawValue;

interface Merge {
  readonly target: Target;
  readonly on: readonly string[];
  readonly matched: WhenMatched;
  readonly unmatched: 'insert' | 'discard' | 'fail';
  /** `let`'s variables of one document. */
  variables(document: RawValue): ReadonlyMap<string, Variable>;
}

function choice<Name extends string>(
  value: RawValue | undefined,
  key: string,
  names: readonly Name[],
  otherwise: Name,
): Name {
  if (value === undefined) return otherwise;
  const found = value.type === Type.string ? names.find((one) => one === textOf(value)) : undefined;
  if (found === undefined)
    throw new StoreError(
      2,
      'BadValue',
      `Enumeration value for field '$merge.${key}' must be one of ${names.join(', ')}`,
    );
  return found;
}

function onFields(value: RawValue | undefined): string[] {
  if (value === undefined) return ['_id'];
  const list = value.type === Type.array ? elements(value) : [value];
  if (list.length === 0) throw located(51187, "If explicitly specifying $merge 'on', must include at least one field");
  return list.map((one) => {
    if (one.type !== Type.string) throw typeMismatch("the elements of $merge's 'on' must be strings");
    if (textOf(one).includes('.')) throw notImplemented("a path in $merge's 'on'");
    return textOf(one);
  });
}

function mergeOf(operand: RawValue, site: Site, scope: Scope): Merge {
  if (operand.type === Type.string) {
    const into = targetOf(operand, '$merge', site.database);
    return { target: into, on: ['_id'], matched: 'merge', unmatched: 'insert', variables: () => new Map() };
  }
  if (operand.type !== Type.object) throw located(51182, `$merge requires a string or object argument`);
  const given = new Map(fields(operand));
  for (const key of given.keys())
    if (!['into', 'on', 'let', 'whenMatched', 'whenNotMatched'].includes(key))
      throw new StoreError(40415, 'Location40415', `BSON field '$merge.${key}' is an unknown field.`);
  const into = given.get('into');
  if (into === undefined)
    throw new StoreError(40414, 'Location40414', "BSON field '$merge.into' is missing but a required field");
  const when = given.get('whenMatched');
  const matched =
    when?.type === Type.array
      ? when
      : choice(when, 'whenMatched', ['merge', 'replace', 'keepExisting', 'fail'], 'merge');
  const unmatched = choice(given.get('whenNotMatched'), 'whenNotMatched', ['insert', 'discard', 'fail'], 'insert');
  if ((matched === 'keepExisting' || matched === 'fail') && unmatched !== 'insert')
    throw located(51181, `Combination of {whenMatched: ${matched}, whenNotMatched: ${unmatched}} is not supported`);
  const letSource = given.get('let');
  if (letSource !== undefined && typeof matched === 'string')
    throw located(51199, "Cannot use 'let' variables without a pipeline in 'whenMatched'");
  if (letSource !== undefined && letSource.type !== Type.object) throw typeMismatch("$merge's 'let' must be an object");
  const own = (letSource === undefined ? [] : fields(letSource)).map(([name, source]) => {
    checkVariableName(name);
    return [name, compileExpression(source, scope)] as const;
  });
  return {
    target: targetOf(into, '$merge', site.database),
    on: onFields(given.get('on')),
    matched,
    unmatched,
    variables: (document) =>
      new Map<string, Variable>([
        ['new', { value: document, constant: true }],
        ...own.map(([name, expression]) => [name, { value: expression(document), constant: true }] as const),
      ]),
  };
}

function checkUnique(collection: Collection | undefined, on: readonly string[]): void {
  if (on.length === 1 && on[0] === '_id') return;
  const wanted = [...on].sort().join();
  const found = collection?.indexes.some(
    ({ unique, partial, ready, keys }) =>
      unique &&
      ready &&
      partial === undefined &&
      keys
        .map(({ path }) => path)
        .sort()
        .join() === wanted,
  );
  if (found !== true) throw located(51183, 'Cannot find index to verify that join fields will be unique');
}

/** The document as it is merged: with an `_id` if it is found by that, and with all the fields that it is found by. */
function mergeable(document: RawValue, on: readonly string[]): RawValue {
  const id = findField(document, Buffer.from('_id'));
  const whole =
    id === undefined && on.includes('_id') ? documentOf([['_id', newObjectId()], ...fields(document)]) : document;
  for (const name of on) {
    const value = findField(whole, Buffer.from(name));
    if (isNullish(value) || value.type === Type.array)
      throw located(51132, `$merge write error: 'on' field '${name}' cannot be missing, null, undefined or an array`);
  }
  return whole;
}

function changed(
  existing: RawValue,
  document: RawValue,
  merge: Merge,
  matched: Exclude<WhenMatched, 'fail'>,
  scope: Scope,
  now: number,
): RawValue {
  const moment = { inserting: false, now };
  if (matched === 'keepExisting') return existing;
  if (matched === 'replace') return replaced(existing, document, moment);
  if (matched === 'merge') {
    const all = new Map<string, RawValue>();
    mergeInto(all, existing);
    mergeInto(all, document);
    return replaced(existing, documentOf([...all]), moment);
  }
  const variables = new Map([...scope.variables, ...merge.variables(document)]);
  return compileUpdate(matched, { ...scope, variables }).apply(existing, moment);
}

/** Compiles $merge: document after document is put into the collection, one transaction or several; what was done before an error stays, as in MongoDB.
 * Throws MongoDB's codes on a wrong operand. */
function compileMerge(operand: RawValue, site: Site, scope: Scope): Output {
  const { store } = site;
  const merge = mergeOf(operand, site, scope);
  // What is wrong with a pipeline is told even when nothing is merged.
  if (typeof merge.matched !== 'string') {
    const placeholder = [...merge.variables(documentOf([])).keys()].map(
      (key) => [key, { value: undefined, constant: false }] as const,
    );
    compileUpdate(merge.matched, { ...scope, variables: new Map([...scope.variables, ...placeholder]) });
  }

  /** Puts one document where it belongs. Throws before it changes anything. */
  function mergeOne(collection: Collection, given: RawValue): void {
    resetScratch();
    const document = mergeable(given, merge.on);
    const source = documentOf(
      merge.on.map((one) => [one, documentOf([['$eq', findField(document, Buffer.from(one)) as RawValue]])]),
    );
    const filter = compileFilter(source);
    const scan = openScan(store.engine, store.catalog, collection, planQuery(collection, filter, []));
    let found: { record: number; document: RawValue } | undefined;
    scan.next(
      (record, existing) => {
        if (!filter.matches(existing)) return false;
        found = { record, document: existing };
        return true;
      },
      () => false,
    );
    // To fail is to insert it all the same: the index refuses it with what the driver wants to know.
    if (found !== undefined && merge.matched !== 'fail') {
      const next = changed(found.document, document, merge, merge.matched, scope, store.now());
      if (next !== found.document) store.records.replace(collection, found.record, found.document, next, undefined);
    } else if (merge.unmatched === 'insert') insertOne(store, collection, storableDocument(document, 'insert'));
    else if (merge.unmatched === 'fail') {
      throw new StoreError(
        13113,
        'MergeStageNoMatchingDocument',
        '$merge could not find a matching document in the target collection for at least one document in the source collection',
      );
    }
  }

  return async (source) => {
    checkUnique(store.catalog.find(merge.target.namespace), merge.on);
    const documents = await collect(source, '$merge', site);
    if (documents.length === 0) return;
    let at = 0;
    let failure: StoreError | undefined;
    await store.engine.write((outOfTime) => {
      const collection = collectionFor(store, merge.target);
      try {
        while (at < documents.length) {
          mergeOne(collection, documents[at] as RawValue);
          at++;
          if (outOfTime()) break;
        }
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        failure = error;
        return true;
      }
      return at >= documents.length;
    }, true);
    if (failure !== undefined) throw failure;
  };
}

/** Compiles a last stage that writes; undefined for any other. Throws MongoDB's codes on a wrong operand. */
export function compileOutput(stage: Stage | undefined, site: Site, scope: Scope): Output | undefined {
  if (stage?.name === '$out') return compileOut(stage.operand, site);
  return stage?.name === '$merge' ? compileMerge(stage.operand, site, scope) : undefined;
}
