const CHUNK_BITS = 65_536; // 8 KiB

/** A set of records' numbers: a bit each where they lie close together, as those of a collection do. */
export interface RecordSet {
  has(record: number): boolean;
  add(record: number): void;
}

/** An empty set. Never throws. */
export function recordSet(): RecordSet {
  const chunks = new Map<number, Uint8Array>();
  return {
    has(record) {
      const place = record % CHUNK_BITS;
      return ((chunks.get((record - place) / CHUNK_BITS)?.[place >> 3] ?? 0) & (1 << (place & 7))) !== 0;
    },
    add(record) {
      const place = record % CHUNK_BITS;
      const number = (record - place) / CHUNK_BITS;
      let chunk = chunks.get(number);
      if (chunk === undefined) {
        chunk = new Uint8Array(CHUNK_BITS / 8);
        chunks.set(number, chunk);
      }
      chunk[place >> 3] = (chunk[place >> 3] ?? 0) | (1 << (place & 7));
    },
  };
}
