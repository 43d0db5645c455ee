import { type RawValue, Type, textOf } from '../../bson/raw-value.js';
import { int32, NULL, string } from '../../bson/values.js';
import { arrayOf, documentOf } from '../../bson/writer.js';
import { compileRegex, regexParts } from '../regex.js';
import { boolean } from './logic.js';
import { isNullish, located, namedArguments, type Operator, type Operators } from './operator.js';

/** The text and the regular expression with flag g of one document; undefined when one of them is null or missing. */
type Subject = { readonly text: string; readonly regex: RegExp } | undefined;

function optionsOf(regex: RawValue, options: RawValue | undefined, name: string): { pattern: string; flags: string } {
  const own = regex.type === Type.regex ? regexParts(regex) : { pattern: textOf(regex), flags: '' };
  if (isNullish(options)) return own;
  if (own.flags !== '')
    throw located(51107, `${name}: found regex option(s) specified in both 'regex' and 'option' fields`);
  return { pattern: own.pattern, flags: textOf(options) };
}

function withSubject(compute: (subject: Subject) => RawValue): Operator {
  return (operand, compiler, name) => {
    const given = namedArguments(operand, name, {
      required: ['input', 'regex'],
      optional: ['options'],
      noDocument: 51103,
      unknown: 31024,
      missing: 31022,
    });
    const input = compiler.compile(given.get('input') as RawValue);
    const pattern = compiler.compile(given.get('regex') as RawValue);
    const source = given.get('options');
    const options = source === undefined ? undefined : compiler.compile(source);
    let known = '';
    let compiled: RegExp | undefined;
    return (document) => {
      const [text, regex, flags] = [input(document), pattern(document), options?.(document)];
      if (!isNullish(text) && text.type !== Type.string)
        throw located(51104, `${name} needs 'input' to be of type string`);
      if (!isNullish(regex) && regex.type !== Type.string && regex.type !== Type.regex)
        throw located(51105, `${name} needs 'regex' to be of type string or regex`);
      if (!isNullish(flags) && flags.type !== Type.string)
        throw located(51106, `${name} needs 'options' to be of type string`);
      if (isNullish(regex)) return compute(undefined);
      const wanted = optionsOf(regex, flags, name);
      const key = `${wanted.flags}/${wanted.pattern}`;
      if (compiled === undefined || key !== known) {
        const made = compileRegex(wanted.pattern, wanted.flags);
        compiled = new RegExp(made.source, `${made.flags}g`);
        known = key;
      }
      return compute(isNullish(text) ? undefined : { text: textOf(text), regex: compiled });
    };
  };
}

function points(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function matchAt(text: string, regex: RegExp, from: number): RegExpExecArray | undefined {
  regex.lastIndex = from;
  return regex.exec(text) ?? undefined;
}

function describe(match: RegExpExecArray, index: number): RawValue {
  const [whole, ...captures] = match;
  return documentOf([
    ['match', string(whole)],
    ['idx', int32(index)],
    ['captures', arrayOf((captures as (string | undefined)[]).map((one) => (one === undefined ? NULL : string(one))))],
  ]);
}

function findAll({ text, regex }: NonNullable<Subject>): RawValue {
  const found: RawValue[] = [];
  let at = 0;
  let passed = 0;
  let index = 0;
  do {
    const match = matchAt(text, regex, at);
    if (match === undefined) break;
    index += points(text.slice(passed, match.index));
    passed = match.index;
    found.push(describe(match, index));
    // An empty match goes on with the next character, so that it is not found again.
    at = match.index + match[0].length;
    if (match[0] === '') at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  } while (at < text.length);
  return arrayOf(found);
}

/** $regexMatch, $regexFind and $regexFindAll: positions count code points. */
export const REGEXES: Operators = {
  $regexMatch: withSubject((subject) =>
    boolean(subject !== undefined && matchAt(subject.text, subject.regex, 0) !== undefined),
  ),
  $regexFind: withSubject((subject) => {
    const match = subject === undefined ? undefined : matchAt(subject.text, subject.regex, 0);
    return match === undefined ? NULL : describe(match, points(match.input.slice(0, match.index)));
  }),
  $regexFindAll: withSubject((subject) => (subject === undefined ? arrayOf([]) : findAll(subject))),
};
