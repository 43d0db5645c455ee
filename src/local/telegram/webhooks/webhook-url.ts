import { isIP } from 'node:net';

const PORTS = new Set(['', '443', '80', '88', '8443']);

/** Whether a host name or address of a URL is this machine's own. Never throws. */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|\[::1\]|127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/i.test(host);
}

/** Reads the address of a webhook; without a scheme it is https. undefined for what is none. Never throws. */
export function readWebhookUrl(text: string): URL | undefined {
  const trimmed = text.trim();
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`);
    return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined;
  } catch {
    return undefined;
  }
}

/** Why Telegram would not deliver to an address, in its words; this machine's own addresses are taken as they are. Never throws. */
export function webhookUrlFault({ protocol, hostname, port }: URL): string | undefined {
  if (isLoopbackHost(hostname)) return undefined;
  if (protocol !== 'https:') return 'An HTTPS URL must be provided for webhook';
  return PORTS.has(port) ? undefined : 'Webhook can be set up only on ports 80, 88, 443 or 8443';
}

/** Why an address cannot stand for the webhook's host, in Telegram's words. Never throws. */
export function ipAddressFault(address: string): string | undefined {
  if (isIP(address) === 0) return 'Invalid IP address specified';
  return isIP(address) === 6 && address !== '::1' ? 'IPv6-only addresses are not allowed' : undefined;
}
