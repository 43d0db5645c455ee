// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the polynomial 0x1EDC6F41, reflected. Node's zlib has another one.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
  return crc >>> 0;
});

/** The CRC-32C of the first `end` bytes, as OP_MSG carries it behind its sections. Never throws. */
export function crc32c(bytes: Buffer, end: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < end; i++) crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}
