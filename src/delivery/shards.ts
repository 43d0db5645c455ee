/**
 * A well mixed 32-bit hash (u32) of a chat id; the same for ever, on every host. Chat ids are safe integers of either sign. Uses of one id that
 * must not be correlated (shard, place in a table) take different seeds. Finaliser: MurmurHash3's fmix32. Never throws.
 */
export function chatHash(chatId: number, seed: number): number {
  let h = (chatId ^ seed) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ Math.floor(chatId / 4294967296) ^ (h >>> 13), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

/** The shard (0 … shards − 1) that owns a chat; `shards` is a whole number ≥ 1. Never throws. */
export function shardOf(chatId: number, shards: number): number {
  return chatHash(chatId, 0x51ed270b) % shards;
}
