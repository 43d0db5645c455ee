import { type Document, Int32 } from 'bson';
import { randomExpression } from './expressions.js';
import { type Dice, PATHS } from './values.js';

const TYPES = [
  'double',
  'string',
  'object',
  'array',
  'binData',
  'objectId',
  'bool',
  'date',
  'null',
  'int',
  'long',
  'decimal',
  'number',
  'timestamp',
  'minKey',
  16,
  2,
  -1,
] as const;
const PATTERNS = ['a', '^a', 'b$', '^ab?$', 'A', '.', '^$', 'a|é', '[a-b]{2}', '\\w'] as const;
const COMPARISONS = ['$eq', '$gt', '$gte', '$lt', '$lte', '$eq', '$ne'] as const;

function operators(random: Dice, depth: number): Document {
  const kind = random.whole(0, 99);
  if (kind < 36) return { [random.pick(COMPARISONS)]: random.value() };
  if (kind < 42)
    return { [random.pick(['$gt', '$gte'])]: random.value(), [random.pick(['$lt', '$lte'])]: random.value() };
  if (kind < 50) return { [random.pick(['$in', '$in', '$nin'])]: random.several(0, 3, () => random.value()) };
  if (kind < 57) return { $exists: random.chance(0.6) };
  if (kind < 64)
    return { $type: random.chance(0.8) ? random.pick(TYPES) : random.several(1, 2, () => random.pick(TYPES)) };
  if (kind < 69) return { $size: random.whole(0, 3) };
  if (kind < 73) return { $mod: [random.pick([2, 3, -2, 2.9]), random.pick([0, 1, -1])] };
  if (kind < 80) {
    const $options = random.pick(['', '', 'i', 'm', 's', 'im']);
    return $options === '' ? { $regex: random.pick(PATTERNS) } : { $regex: random.pick(PATTERNS), $options };
  }
  if (kind < 85) {
    return {
      $all: random.chance(0.8)
        ? random.several(0, 2, () => random.value())
        : random.several(1, 2, () => ({ $elemMatch: elementFilter(random, depth - 1) })),
    };
  }
  if (kind < 93) return { $elemMatch: elementFilter(random, depth - 1) };
  return depth > 0 ? { $not: operators(random, depth - 1) } : { $eq: random.value() };
}

/** What $elemMatch asks: operators on values, or a filter of embedded documents. */
function elementFilter(random: Dice, depth: number): Document {
  if (random.chance(0.5)) return operators(random, depth);
  return randomFilter(random, depth, true);
}

/** What an array filter or $pull asks of values. */
export function randomOperators(random: Dice): Document {
  return operators(random, 1);
}

/** A filter of up to two clauses; `inner`: of embedded documents, where no $expr is allowed. */
export function randomFilter(random: Dice, depth = 2, inner = false): Document {
  const filter: Document = {};
  for (let i = random.whole(depth === 2 ? 0 : 1, 2); i > 0; i--) {
    const kind = random.next();
    if (depth > 0 && kind < 0.2) {
      filter[random.pick(['$and', '$or', '$or', '$nor'])] = random.several(1, 3, () =>
        randomFilter(random, depth - 1, inner),
      );
    } else if (!inner && kind < 0.28) filter.$expr = randomExpression(random, 'boolean', 2);
    else if (!inner && kind < 0.34)
      filter._id = random.chance(0.5)
        ? { [random.pick(COMPARISONS)]: new Int32(random.whole(1, 9)) }
        : random.whole(1, 9);
    else filter[random.pick(PATHS)] = random.chance(0.3) ? random.value() : operators(random, depth);
  }
  return filter;
}
