/** What the independent server does otherwise than the manual. */
interface Difference {
  /** The case's name: the manual's page and what is documented there. */
  readonly case: string;
  /** What SecantusDB answers, as observedText gives it. */
  readonly answers: string;
  /** What the manual's page says, and what SecantusDB does. */
  readonly explanation: string;
}

const DIFFERENCES: readonly Difference[] = [
  {
    case: 'reference/operator/query/all: an array in an array',
    answers: '{"_id":{"$numberInt":"2"},"t":[["ssl","security"],{"$numberInt":"1"}]}',
    explanation: '$all of an array in an array is the field being that array, too; it looks at the elements only',
  },
  {
    case: 'reference/operator/update/positional: the array lies in a document',
    answers: 'error {"code":2}\nafter:\n{"_id":{"$numberInt":"1"},"a":{"b":[{"$numberInt":"1"},{"$numberInt":"2"}]}}',
    explanation: 'the array may lie in an embedded document; it finds no match there',
  },
  {
    case: 'reference/operator/update/positional: a negation',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"2"}]}',
    explanation:
      'a positional operator needs the array in the query and stands once, not first; it takes the first element, or changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional: twice in a path',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation:
      'a positional operator needs the array in the query and stands once, not first; it takes the first element, or changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional: in the first place',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation:
      'a positional operator needs the array in the query and stands once, not first; it takes the first element, or changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional: what it stands for is changed otherwise too',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"},{"$numberInt":"4"}]}',
    explanation: 'one element is changed twice, which is a conflict; it makes both changes',
  },
  {
    case: 'reference/operator/update/positional: $setOnInsert asks for a match too',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"n":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation:
      'a positional operator needs the array in the query and stands once, not first; it takes the first element, or changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional-all: a field that is missing',
    answers: 'after:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'the array must exist; it changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional-all: a field that is no array',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"5"}}',
    explanation: 'the array must exist; it changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional-all: a path that one element does not have',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"b":[{"$numberInt":"1"}]},{}]}',
    explanation: 'the array must exist; it changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional-all: beside a named element',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"2"}]}',
    explanation: 'one element is changed twice, which is a conflict; it makes both changes',
  },
  {
    case: 'reference/operator/update/positional-all: in the first place',
    answers: 'after:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'the array must exist; it changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/positional-filtered: two that meet in one element',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"5"},{"$numberInt":"2"}]}',
    explanation: 'one element is changed twice, which is a conflict; it makes both changes',
  },
  {
    case: 'reference/operator/update/positional-filtered: with a pipeline',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"2"}}',
    explanation: 'array filters go with no pipeline; it leaves them out',
  },
  {
    case: 'reference/operator/update/set: fields keep their place, new ones come by name',
    answers:
      'after:\n{"_id":{"$numberInt":"1"},"b":{"$numberInt":"1"},"a":{"$numberInt":"2"},"z":{"$numberInt":"1"},"c":{"$numberInt":"3"}}',
    explanation: 'new fields come in the order of their names; it takes them in that of the update',
  },
  {
    case: 'reference/operator/update/set: too far beyond the end of an array',
    answers: 'error {"code":1}\nafter:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'an array is filled up by 1,500,000 nulls at most (34); it fails by an internal error',
  },
  {
    case: 'reference/operator/update/set: nested too deep',
    answers:
      'after:\n{"_id":{"$numberInt":"1"},"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}',
    explanation: 'documents have 100 to 180 levels at most (page Limits); it stores more',
  },
  {
    case: 'core/dot-dollar-considerations: a first name with a dollar',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"$a":{"$numberInt":"1"}}',
    explanation:
      'the first name decides that it is a replacement, and a replacement begins no name with a dollar; it stores it',
  },
  {
    case: 'reference/operator/update: an operator of a number',
    answers: 'error {"code":1}\nafter:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'an operator holds a document of fields (9); it fails by an internal error',
  },
  {
    case: 'reference/operator/update/sort: by no field',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'a sort names fields; it takes what names none',
  },
  {
    case: 'reference/operator/update/sort: by an empty part of a path',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'a sort names fields; it takes what names none',
  },
  {
    case: 'reference/operator/update/push: an unknown clause',
    answers: 'error {"code":9}\nafter:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'a clause beside $each that is unknown is a bad value (2); it says that it failed to parse (9)',
  },
  {
    case: 'reference/operator/update/addToSet: anything beside $each',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'beside $each there is nothing; it leaves the rest out',
  },
  {
    case: 'reference/operator/update/pull: $or',
    answers:
      'error {"code":2}\nafter:\n{"_id":{"$numberInt":"1"},"a":[{"x":{"$numberInt":"1"}},{"x":{"$numberInt":"2"}},{"y":{"$numberInt":"3"}}]}',
    explanation: 'the condition of $pull is any filter; it knows no $or there',
  },
  {
    case: 'reference/operator/update/pull: through a number',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"1"}}',
    explanation: 'a path through a number is not viable; it changes nothing and says nothing',
  },
  {
    case: 'reference/operator/update/pull: $expr',
    answers: 'error {"code":2}\nafter:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: '$expr is no part of a condition of $pull (224); it says that it is unknown (2)',
  },
  {
    case: 'reference/operator/update/pullAll: a document exactly',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[]}',
    explanation: 'a document is equal with its fields in the same order only; it takes any order',
  },
  {
    case: 'reference/operator/update/pullAll: no array',
    answers: 'error {"code":9}\nafter:\n{"_id":{"$numberInt":"1"},"a":[{"$numberInt":"1"}]}',
    explanation: 'what is no array is a bad value (2); it says that it failed to parse (9)',
  },
  {
    case: 'tutorial/update-documents-with-aggregation-pipeline: a path through an array sets in each document of it',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":[{"x":{"$numberInt":"1"}},{"x":{"$numberInt":"2"}}]}',
    explanation: 'a computed field is put into each document of an array; it leaves arrays alone',
  },
  {
    case: 'tutorial/update-documents-with-aggregation-pipeline: a stage that is no part of an update',
    answers: 'error {"code":168}\nafter:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'a pipeline that cannot be has its own codes (72, 40323, 40324); it has another one',
  },
  {
    case: 'tutorial/update-documents-with-aggregation-pipeline: an unknown stage',
    answers: 'error {"code":168}\nafter:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'a pipeline that cannot be has its own codes (72, 40323, 40324); it has another one',
  },
  {
    case: 'tutorial/update-documents-with-aggregation-pipeline: two stages in one',
    answers: 'error {"code":9}\nafter:\n{"_id":{"$numberInt":"1"}}',
    explanation: 'a pipeline that cannot be has its own codes (72, 40323, 40324); it has another one',
  },
  {
    case: 'reference/operator/update: fields are made in the order of their names',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"c":{"$numberInt":"1"},"a":{"$numberInt":"2"},"b":{"$numberInt":"1"}}',
    explanation: 'new fields come in the order of their names; it takes them in that of the update',
  },
  {
    case: 'reference/bson-type-comparison-order: numbers of all kinds by value',
    answers:
      '{"_id":{"$numberInt":"1"},"v":{"$numberDouble":"NaN"}}\n{"_id":{"$numberInt":"2"},"v":{"$numberDouble":"-Infinity"}}\n{"_id":{"$numberInt":"3"},"v":{"$numberLong":"-9223372036854775808"}}\n{"_id":{"$numberInt":"4"},"v":{"$numberDouble":"-2.5"}}\n{"_id":{"$numberInt":"5"},"v":{"$numberInt":"0"}}\n{"_id":{"$numberInt":"7"},"v":{"$numberDouble":"0.1"}}\n{"_id":{"$numberInt":"6"},"v":{"$numberDecimal":"0.1"}}\n{"_id":{"$numberInt":"8"},"v":{"$numberInt":"1"}}\n{"_id":{"$numberInt":"9"},"v":{"$numberLong":"9007199254740993"}}\n{"_id":{"$numberInt":"10"},"v":{"$numberDecimal":"9007199254740993.5"}}\n{"_id":{"$numberInt":"11"},"v":{"$numberLong":"9007199254740994"}}\n{"_id":{"$numberInt":"12"},"v":{"$numberDouble":"9223372036854775808.0"}}\n{"_id":{"$numberInt":"13"},"v":{"$numberDecimal":"1E+100"}}\n{"_id":{"$numberInt":"14"},"v":{"$numberDouble":"Infinity"}}',
    explanation:
      'numbers are compared by their value exactly, and the double 0.1 is above the decimal 0.1; it takes them for equal',
  },
  {
    case: 'reference/bson-type-comparison-order: a decimal and a double of the same text are not the same number',
    answers:
      '{"_id":{"$numberInt":"1"},"v":{"$numberDecimal":"0.1"}}\n{"_id":{"$numberInt":"2"},"v":{"$numberDouble":"0.1"}}',
    explanation:
      'numbers are compared by their value exactly, and the double 0.1 is above the decimal 0.1; it takes them for equal',
  },
  {
    case: 'reference/bson-type-comparison-order: binaries by length, then subtype, then bytes',
    answers:
      '{"_id":{"$numberInt":"2"},"v":{"$binary":{"base64":"CQ==","subType":"00"}}}\n{"_id":{"$numberInt":"3"},"v":{"$binary":{"base64":"AQE=","subType":"80"}}}\n{"_id":{"$numberInt":"1"},"v":{"$binary":{"base64":"AQI=","subType":"00"}}}\n{"_id":{"$numberInt":"4"},"v":{"$binary":{"base64":"AQM=","subType":"00"}}}',
    explanation: 'binaries are ordered by length, subtype and bytes; it leaves out the subtype',
  },
  {
    case: 'reference/method/cursor.sort: numbers of all kinds by an index',
    answers:
      '{"_id":{"$numberInt":"1"},"v":{"$numberDouble":"NaN"}}\n{"_id":{"$numberInt":"2"},"v":{"$numberDouble":"-Infinity"}}\n{"_id":{"$numberInt":"3"},"v":{"$numberLong":"-9223372036854775808"}}\n{"_id":{"$numberInt":"4"},"v":{"$numberDouble":"-2.5"}}\n{"_id":{"$numberInt":"5"},"v":{"$numberInt":"0"}}\n{"_id":{"$numberInt":"7"},"v":{"$numberDouble":"0.1"}}\n{"_id":{"$numberInt":"6"},"v":{"$numberDecimal":"0.1"}}\n{"_id":{"$numberInt":"8"},"v":{"$numberInt":"1"}}\n{"_id":{"$numberInt":"9"},"v":{"$numberLong":"9007199254740993"}}\n{"_id":{"$numberInt":"10"},"v":{"$numberDecimal":"9007199254740993.5"}}\n{"_id":{"$numberInt":"11"},"v":{"$numberLong":"9007199254740994"}}\n{"_id":{"$numberInt":"12"},"v":{"$numberDouble":"9223372036854775808.0"}}\n{"_id":{"$numberInt":"13"},"v":{"$numberDecimal":"1E+100"}}\n{"_id":{"$numberInt":"14"},"v":{"$numberDouble":"Infinity"}}',
    explanation:
      'numbers are compared by their value exactly, and the double 0.1 is above the decimal 0.1; it takes them for equal',
  },
  {
    case: 'reference/operator/aggregation/count: of nothing: no document',
    answers: '{"n":{"$numberInt":"0"}}',
    explanation: 'without documents the stage passes none on; it passes on a count of 0',
  },
  {
    case: 'reference/operator/aggregation/set: in each document of an array',
    answers: '{"_id":{"$numberInt":"1"},"a":[{"b":{"$numberInt":"1"}},{"b":{"$numberInt":"2"}}]}',
    explanation: 'a computed field is put into each document of an array; it leaves arrays alone',
  },
  {
    case: 'reference/operator/aggregation/unwind: includeArrayIndex',
    answers:
      '{"_id":{"$numberInt":"1"},"s":"M","i":{"$numberInt":"1"}}\n{"_id":{"$numberInt":"1"},"s":"S","i":{"$numberInt":"0"}}',
    explanation: 'the index of an element is a long integer; it gives an integer',
  },
  {
    case: 'reference/operator/aggregation/not: an empty array is true',
    answers: 'error {"code":1}',
    explanation: 'an empty array is true; it fails by an internal error',
  },
  {
    case: 'core/field-paths: through documents and arrays',
    answers: '{"v":[{"$numberInt":"1"},null]}',
    explanation: 'a path through an array gives an array; it gives nothing',
  },
  {
    case: 'core/indexes/index-types/index-multikey: a range by different elements',
    answers: '{"_id":{"$numberInt":"2"},"r":[{"$numberInt":"6"}]}',
    explanation:
      'each bound may be met by an element of its own, with an index too; with one it asks for both of the same',
  },
  {
    case: 'core/indexes/index-types/index-multikey/create-multikey-index-compound: two arrays in one document',
    answers:
      'after:\n{"_id":{"$numberInt":"9"},"a":[{"$numberInt":"1"},{"$numberInt":"2"}],"b":[{"$numberInt":"1"},{"$numberInt":"2"}]}',
    explanation: 'a compound index holds one array of a document at most (171); it takes two that are alike',
  },
  {
    case: 'reference/operator/update: 9: operators hold documents',
    answers: 'error {"code":1}\nafter:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"1"}}',
    explanation: 'an operator holds a document of fields (9); it fails by an internal error',
  },
  {
    case: 'core/index-ttl: 67: a TTL index of two fields',
    answers: 'after:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"1"}}',
    explanation: 'a TTL index has one field; it takes two',
  },
  {
    case: 'reference/command/createIndexes: 197 InvalidIndexSpecificationOption',
    answers: 'error {"code":40415}\nafter:\n{"_id":{"$numberInt":"1"},"a":{"$numberInt":"1"}}',
    explanation: 'an unknown option of an index has the code 197; it has another one',
  },
  {
    case: 'core/document: 53 InvalidIdField: an array as _id',
    answers: 'after:\n{"_id":[{"$numberInt":"1"}]}',
    explanation: 'an array is no _id; it takes it',
  },
  {
    case: 'core/dot-dollar-considerations: 52 DollarPrefixedFieldName: below _id',
    answers: 'error {"code":2}\nafter:\n',
    explanation: 'the code of a name with a dollar is 52; it has another one',
  },
  {
    case: 'reference/command/find: 40415: an unknown field',
    answers: '\nafter:\n',
    explanation: 'an unknown field of a command is an error; it leaves it out',
  },
  {
    case: 'reference/limits: 73 InvalidNamespace',
    answers: '\nafter:\n',
    explanation: 'an empty name names no collection; it finds nothing in it',
  },
];

/** The differences of SecantusDB 0.7.0b3 by the name of their case. */
export const SECANTUSDB_DIFFERENCES: ReadonlyMap<string, Difference> = new Map(
  DIFFERENCES.map((one) => [one.case, one]),
);
