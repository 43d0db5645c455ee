import { readFileSync } from 'node:fs';
import { EJSON } from 'bson';
import type { Document } from 'mongodb';

/** A condition on the server under test; a test runs when one of its list is met. */
export interface Requirement {
  readonly minServerVersion?: string;
  readonly maxServerVersion?: string;
  readonly topologies?: readonly string[];
  readonly serverless?: string;
}

/** Documents of a collection, before or after a test. */
export interface CollectionData {
  readonly databaseName: string;
  readonly collectionName: string;
  readonly documents: readonly Document[];
}

/** What an operation must fail with. */
export interface ExpectedError {
  readonly isError?: boolean;
  readonly isClientError?: boolean;
  readonly errorContains?: string;
  readonly errorCode?: number;
  readonly errorResponse?: Document;
  readonly expectResult?: unknown;
  readonly writeErrors?: Readonly<Record<string, unknown>>;
  readonly writeConcernErrors?: readonly unknown[];
}

/** One call of the driver and what comes of it. */
export interface Operation {
  readonly name: string;
  readonly object: string;
  readonly arguments?: Document;
  readonly expectResult?: unknown;
  readonly expectError?: ExpectedError;
}

/** The commands that a client must have sent, in their order. */
export interface ExpectedEvents {
  readonly client: string;
  readonly events: readonly Readonly<Record<string, Document>>[];
}

/** One test of a file. */
export interface UnifiedTest {
  readonly description: string;
  readonly runOnRequirements?: readonly Requirement[];
  readonly operations: readonly Operation[];
  readonly expectEvents?: readonly ExpectedEvents[];
  readonly outcome?: readonly CollectionData[];
}

/** A file of the drivers' unified test format (the parts that the CRUD specification uses). */
export interface UnifiedFile {
  readonly description: string;
  readonly runOnRequirements?: readonly Requirement[];
  readonly createEntities: readonly Readonly<Record<string, Document>>[];
  readonly initialData?: readonly CollectionData[];
  readonly tests: readonly UnifiedTest[];
}

const FILE_FIELDS = [
  'description',
  'schemaVersion',
  'runOnRequirements',
  'createEntities',
  'initialData',
  'tests',
  '_yamlAnchors',
];
const TEST_FIELDS = ['description', 'runOnRequirements', 'operations', 'expectEvents', 'outcome'];
const OPERATION_FIELDS = ['name', 'object', 'arguments', 'expectResult', 'expectError'];
const ERROR_FIELDS = [
  'isError',
  'isClientError',
  'errorContains',
  'errorCode',
  'errorResponse',
  'expectResult',
  'writeErrors',
  'writeConcernErrors',
];
const REQUIREMENT_FIELDS = ['minServerVersion', 'maxServerVersion', 'topologies', 'serverless'];

function checkNames(value: object | undefined, known: readonly string[], where: string): void {
  const unknown = Object.keys(value ?? {}).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`${where}: the runner does not know '${unknown}'`);
}

/** Reads a file. Throws on a part of the format that the runner does not know, so that nothing goes untested in silence. */
export function readUnifiedFile(path: string): UnifiedFile {
  const file = EJSON.parse(readFileSync(path, 'utf8'), { relaxed: true }) as UnifiedFile;
  checkNames(file, FILE_FIELDS, path);
  for (const requirement of file.runOnRequirements ?? []) checkNames(requirement, REQUIREMENT_FIELDS, path);
  for (const test of file.tests) {
    const where = `${path}: ${test.description}`;
    checkNames(test, TEST_FIELDS, where);
    for (const requirement of test.runOnRequirements ?? []) checkNames(requirement, REQUIREMENT_FIELDS, where);
    for (const operation of test.operations) {
      checkNames(operation, OPERATION_FIELDS, where);
      checkNames(operation.expectError, ERROR_FIELDS, where);
    }
  }
  return file;
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether a stand-alone server of that version meets one of the requirements; a missing list is met. */
export function requirementsMet(requirements: readonly Requirement[] | undefined, version: string): boolean {
  return (
    requirements === undefined ||
    requirements.some(
      ({ minServerVersion, maxServerVersion, topologies, serverless }) =>
        (minServerVersion === undefined || compareVersions(version, minServerVersion) >= 0) &&
        (maxServerVersion === undefined || compareVersions(version, maxServerVersion) <= 0) &&
        (topologies === undefined || topologies.includes('single')) &&
        serverless !== 'require',
    )
  );
}
