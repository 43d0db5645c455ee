import { basename } from 'node:path';
import type { MongoClientOptions } from 'mongodb';
import t from 'tap';
import { startEmbeddedStore } from '../../../src/local/mongo/server.js';
import { driverSpecFiles, needed } from '../../support/needs.js';
import { readUnifiedFile, requirementsMet, type UnifiedFile, type UnifiedTest } from '../../support/unified-format.js';
import { type UnifiedRunner, unifiedRunner } from '../../support/unified-runner.js';

type Table = Readonly<Record<string, readonly string[]>>;

const LEAST_PASSED = 300;

/** What the store refuses by name, and the tests that ask for it. */
const REFUSED: Table = Object.freeze({
  collations: [
    'aggregate-collation: Aggregate with collation',
    'bulkWrite-collation: BulkWrite with delete operations and collation',
    'bulkWrite-collation: BulkWrite with update operations and collation',
    'count-collation: Count documents with collation',
    'count-collation: Deprecated count with collation',
    'deleteMany-collation: DeleteMany when many documents match with collation',
    'deleteOne-collation: DeleteOne when many documents matches with collation',
    'distinct-collation: Distinct with a collation',
    'find-collation: Find with a collation',
    'findOneAndDelete-collation: FindOneAndDelete when one document matches with collation',
    'findOneAndReplace-collation: FindOneAndReplace when one document matches with collation returning the document after modification',
    'findOneAndUpdate-collation: FindOneAndUpdate when many documents match with collation returning the document before modification',
    'replaceOne-collation: ReplaceOne when one document matches with collation',
    'updateMany-collation: UpdateMany when many documents match with collation',
    'updateOne-collation: UpdateOne when one document matches with collation',
  ],
  'the aggregation stage $listLocalSessions': [
    'db-aggregate: Aggregate with $listLocalSessions',
    'db-aggregate: Aggregate with $listLocalSessions and allowDiskUse',
  ],
  'the command configureFailPoint': [
    'bulkWrite-errorResponse: bulkWrite operations support errorResponse assertions',
    'client-bulkWrite-errorResponse: client bulkWrite operations support errorResponse assertions',
    'client-bulkWrite-errors: a top-level failure occurs during a bulkWrite',
    'client-bulkWrite-errors: a write concern error occurs during a bulkWrite',
    'deleteOne-errorResponse: delete operations support errorResponse assertions',
    'estimatedDocumentCount: estimatedDocumentCount errors correctly--command error',
    'estimatedDocumentCount: estimatedDocumentCount errors correctly--socket error',
    'insertOne-errorResponse: insert operations support errorResponse assertions',
    'updateOne-errorResponse: update operations support errorResponse assertions',
  ],
  "'viewOn' of create": ['estimatedDocumentCount: estimatedDocumentCount works correctly on views'],
  "'validator' of collMod": [
    'findOneAndUpdate-errorResponse: findOneAndUpdate document validation errInfo is accessible',
  ],
});

/** What this driver does otherwise than the specification asks, before the server has a part in it; and the tests that show it. */
const OF_THE_DRIVER: Table = Object.freeze({
  // lib/bulk/common.js, lib/operations/aggregate.js and lib/operations/find_and_modify.js send the option only when it is true.
  'event 0.command.bypassDocumentValidation: expected false, got undefined': [
    'bypassDocumentValidation: Aggregate with $out passes bypassDocumentValidation: false',
    'bypassDocumentValidation: BulkWrite passes bypassDocumentValidation: false',
    'bypassDocumentValidation: FindOneAndReplace passes bypassDocumentValidation: false',
    'bypassDocumentValidation: FindOneAndUpdate passes bypassDocumentValidation: false',
    'bypassDocumentValidation: InsertMany passes bypassDocumentValidation: false',
  ],
  // lib/operations/client_bulk_write/results_merger.js gives an error a result even when all of it is 0.
  'result.insertedCount: expected {"$$exists":false}, got 0': [
    'client-bulkWrite-partialResults: partialResult is unset when first operation fails during an ordered bulk write (verbose)',
    'client-bulkWrite-partialResults: partialResult is unset when first operation fails during an ordered bulk write (summary)',
    'client-bulkWrite-partialResults: partialResult is unset when all operations fail during an unordered bulk write',
  ],
});

/** The driver puts an `_id` of its own in place of null: here it makes null, so that null is sent. */
const OPTIONS: Readonly<Record<string, MongoClientOptions>> = {
  'create-null-ids': { pkFactory: { createPk: () => null } },
};

const REFUSAL = 'the embedded store does not implement ';

function tableOf(entries: readonly (readonly [string, string])[]): Table {
  const reasons = new Set(entries.map(([reason]) => reason));
  return Object.fromEntries(
    [...reasons].map((reason) => [reason, entries.filter(([own]) => own === reason).map(([, test]) => test)]),
  );
}

function* applicableTests(runner: UnifiedRunner): Generator<{ name: string; file: UnifiedFile; test: UnifiedTest }> {
  for (const path of driverSpecFiles()) {
    const file = readUnifiedFile(path);
    const name = basename(path, '.json');
    for (const test of requirementsMet(file.runOnRequirements, runner.version) ? file.tests : []) {
      if (requirementsMet(test.runOnRequirements, runner.version)) yield { name, file, test };
    }
  }
}

t.test("the CRUD specification of MongoDB's drivers, with the unmodified driver", async (t) => {
  if (needed(t, 'driver-specs') === undefined) return;
  const store = await startEmbeddedStore({ dataDir: t.testdir() });
  t.teardown(() => store.stop());
  const runner = await unifiedRunner(store.uri);
  t.teardown(() => runner.close());
  let passed = 0;
  const refused: [string, string][] = [];
  const wrong: [string, string][] = [];
  for (const { name, file, test } of applicableTests(runner)) {
    const full = `${name}: ${test.description}`;
    const verdict = await runner.run(file, test, OPTIONS[name]);
    if (verdict.outcome === 'passed') passed++;
    else if (verdict.outcome === 'refused') refused.push([verdict.refusal.replace(REFUSAL, ''), full]);
    else wrong.push([verdict.difference, full]);
  }
  t.comment(
    `${passed + refused.length + wrong.length} tests apply to a stand-alone server: ${passed} passed, ` +
      `${refused.length} refused by name, ${wrong.length} kept from passing by the driver`,
  );
  t.ok(passed >= LEAST_PASSED, `at least ${LEAST_PASSED} pass`);
  t.same(tableOf(refused), REFUSED, 'each other one is refused by name, and no more than these');
  t.same(tableOf(wrong), OF_THE_DRIVER, 'none is wrong but by the driver');
});
