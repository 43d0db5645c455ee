import { Decimal128, type Document, Double, Int32, Long } from 'bson';
import { randomExpression } from './expressions.js';
import { randomFilter, randomOperators } from './filters.js';
import { type Dice, PATHS, PLAIN_PATHS, randomDocument } from './values.js';

/** An update and what goes with it. */
export interface RandomUpdate {
  readonly u: Document | Document[];
  readonly arrayFilters?: Document[];
  /** Whether it is a replacement, which changes one document only. */
  readonly replaces: boolean;
}

const OPERATORS = [
  '$set',
  '$set',
  '$set',
  '$unset',
  '$inc',
  '$inc',
  '$mul',
  '$min',
  '$max',
  '$rename',
  '$currentDate',
  '$setOnInsert',
  '$push',
  '$push',
  '$addToSet',
  '$pull',
  '$pull',
  '$pullAll',
  '$pop',
  '$bit',
] as const;

function number(random: Dice): unknown {
  return random.pick<() => unknown>([
    () => new Int32(random.whole(-2, 5)),
    () => new Double(random.pick([0.5, -1.5, 2, Number.NaN])),
    () => Long.fromString(random.pick(['1', '9223372036854775807'])),
    () => Decimal128.fromString(random.pick(['0.1', '2.50', '-1'])),
  ])();
}

function pushOperand(random: Dice): unknown {
  if (random.chance(0.4)) return random.value();
  const operand: Document = { $each: random.several(0, 3, () => random.value()) };
  if (random.chance(0.4)) operand.$position = random.whole(-2, 3);
  if (random.chance(0.4)) operand.$sort = random.pick<unknown>([1, -1, { b: 1 }, { c: -1, b: 1 }]);
  if (random.chance(0.4)) operand.$slice = random.whole(-3, 3);
  return operand;
}

function pullOperand(random: Dice): unknown {
  if (random.chance(0.4)) return random.value();
  return random.chance(0.5) ? randomOperators(random) : randomFilter(random, 1, true);
}

function operandOf(random: Dice, operator: string): unknown {
  switch (operator) {
    case '$unset':
      return '';
    case '$inc':
    case '$mul':
      return random.chance(0.95) ? number(random) : random.value();
    case '$rename':
      return random.pick(PLAIN_PATHS);
    case '$currentDate':
      return random.pick<unknown>([true, { $type: 'date' }, { $type: 'timestamp' }]);
    case '$push':
      return pushOperand(random);
    case '$addToSet':
      return random.chance(0.6) ? random.value() : { $each: random.several(0, 3, () => random.value()) };
    case '$pull':
      return pullOperand(random);
    case '$pullAll':
      return random.several(0, 2, () => random.value());
    case '$pop':
      return random.pick([1, -1]);
    case '$bit':
      return { [random.pick(['and', 'or', 'xor'])]: random.pick([new Int32(5), Long.fromNumber(3)]) };
    default:
      return random.value();
  }
}

function pathFor(random: Dice, arrayFilters: Document[]): string {
  if (random.chance(0.75)) return random.pick(PATHS);
  const array = random.pick(['a', 'b', 'c', 'a.b']);
  const rest = random.pick(['', '', '.b', '.c', '.b.c']);
  if (random.chance(0.35)) return `${array}.$${rest}`;
  if (random.chance(0.4)) return `${array}.$[]${rest}`;
  if (arrayFilters.length === 0) {
    arrayFilters.push(
      random.chance(0.6)
        ? { x: random.chance(0.4) ? random.value() : randomOperators(random) }
        : { [`x.${random.pick(['b', 'c'])}`]: random.chance(0.4) ? random.value() : randomOperators(random) },
    );
  }
  return `${array}.$[x]${rest}`;
}

const ARRAY_OPERATORS = new Set(['$push', '$addToSet', '$pull', '$pullAll', '$pop']);

function targetOf(random: Dice, operator: string, arrayFilters: Document[]): string {
  if (operator === '$rename') return random.pick(PLAIN_PATHS);
  // Arrays are mostly there.
  if (ARRAY_OPERATORS.has(operator) && random.chance(0.6)) return random.pick(['a', 'b', 'c']);
  return pathFor(random, arrayFilters);
}

function operatorUpdate(random: Dice): RandomUpdate {
  const u: Document = {};
  const arrayFilters: Document[] = [];
  const used: string[] = [];
  for (let i = random.whole(1, 3); i > 0; i--) {
    const operator = random.pick(OPERATORS);
    const path = targetOf(random, operator, arrayFilters);
    // Paths that meet are an error: seldom.
    if (
      used.some((other) => `${other}.`.startsWith(`${path}.`) || `${path}.`.startsWith(`${other}.`)) &&
      random.chance(0.9)
    )
      continue;
    // A document of which a name is a number is shown with that name first, wherever it stands: its order could not be compared.
    if (used.some((other) => other.split('.')[0] === path.split('.')[0] && /\.\d/.test(other + path))) continue;
    used.push(path);
    u[operator] = { ...u[operator], [path]: operandOf(random, operator) };
  }
  if (used.length === 0) u.$set = { a: random.value() };
  const wanted = used.some((path) => path.includes('$[x]'));
  return { u, replaces: false, ...(wanted ? { arrayFilters } : {}) };
}

function pipelineUpdate(random: Dice): RandomUpdate {
  const u = random.several(1, 2, (): Document => {
    const kind = random.next();
    if (kind < 0.7)
      return {
        [random.pick(['$set', '$addFields'])]: { [random.pick(PLAIN_PATHS)]: randomExpression(random, 'any', 3) },
      };
    if (kind < 0.8) return { $unset: random.pick(PLAIN_PATHS) };
    if (kind < 0.9) return { $project: { [random.pick(PLAIN_PATHS)]: random.pick([0, 1]) } };
    return { $replaceWith: { _id: '$_id', [random.pick(['a', 'b'])]: randomExpression(random, 'any', 2) } };
  });
  return { u, replaces: false };
}

/** An update of any kind. */
export function randomUpdate(random: Dice): RandomUpdate {
  const kind = random.next();
  if (kind < 0.75) return operatorUpdate(random);
  if (kind < 0.9) return pipelineUpdate(random);
  const { _id, ...u } = randomDocument(random, 0);
  return { u, replaces: true };
}
