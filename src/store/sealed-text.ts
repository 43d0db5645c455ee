import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';

const VERSION = 'v1';
const keys = new Map<string, Buffer>();

/** The AES key of a SECRET_KEY: scrypt with a fixed salt, since the secret itself has 32 characters or more. */
function keyOf(secret: string): Buffer {
  let key = keys.get(secret);
  if (key === undefined) {
    key = scryptSync(secret, 'posthorn bot tokens', 32);
    keys.set(secret, key);
  }
  return key;
}

/** Encrypts `text` with AES-256-GCM under `secret`: `v1.<iv>.<tag>.<data>`, base64url. Never throws. */
export function sealText(text: string, secret: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret), iv);
  const data = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return [VERSION, ...[iv, cipher.getAuthTag(), data].map((part) => part.toString('base64url'))].join('.');
}

/** Opens what `sealText` made; undefined with another secret or a damaged text. Never throws. */
export function openText(sealed: string, secret: string): string | undefined {
  const [version, iv, tag, data] = sealed.split('.');
  if (version !== VERSION || iv === undefined || tag === undefined || data === undefined) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(secret), Buffer.from(iv, 'base64url'));
    decipher.setAuthTag(Buffer.from(tag, 'base64url'));
    return Buffer.concat([decipher.update(Buffer.from(data, 'base64url')), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
