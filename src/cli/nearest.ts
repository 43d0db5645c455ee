/** Edits (insert, delete, replace, swap neighbours) between two words: the optimal string alignment distance. */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= a.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      let cost = Math.min((last[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + same);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      next.push(cost);
    }
    [before, last] = [last, next];
  }
  return last[b.length] ?? 0;
}

/** The known word nearest to `word` in at most 3 edits and less than half of its letters changed, or undefined. Never throws. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, edits: distance(word.toLowerCase(), name) }))
    .filter(({ name, edits }) => edits <= 3 && edits < Math.max(word.length, name.length) / 2 + 0.5)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.name;
}
