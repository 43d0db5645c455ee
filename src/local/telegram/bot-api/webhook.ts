import { ipAddressFault, readWebhookUrl, webhookUrlFault } from '../webhooks/webhook-url.js';
import type { Webhooks } from '../webhooks/webhooks.js';
import type { Bot, WebhookSettings } from '../world/bot.js';
import type { World } from '../world/world.js';
import { setAllowed } from './allowed-updates.js';
import { type BotArguments, flagArgument, integerArgument, textArgument } from './arguments.js';
import { BotRefusal, badRequest, REFUSALS, tooManyRequests } from './refusal.js';
import type { UpdatePolls } from './update-polls.js';

const CONNECTIONS = 40;
const CONNECTIONS_MAX = 100;
const SECRET_MAX = 256;

/** What the webhook methods work on. */
export interface WebhookDeps {
  readonly world: World;
  readonly polls: UpdatePolls;
  readonly webhooks: Webhooks;
}

/** setWebhook: has updates posted to an address from now on; without one it is deleteWebhook. `certificate` is passed over. Never throws. */
export function setWebhook(deps: WebhookDeps, bot: Bot, args: BotArguments): string | BotRefusal {
  if (textArgument(args, 'url') === '') return deleteWebhook(deps, bot, args);
  const { world, polls, webhooks } = deps;
  if (!webhooks.maySet(bot)) return tooManyRequests(1);
  const webhook = readSettings(args);
  if (webhook instanceof BotRefusal) return webhook;
  polls.interrupt(bot, REFUSALS.webhookSet);
  if (flagArgument(args, 'drop_pending_updates')) world.confirm(bot, bot.queue.nextId);
  setAllowed(world, bot, args);
  // The same again lets go on what is under way.
  if (JSON.stringify(webhook) !== JSON.stringify(bot.settings.webhook)) {
    world.configure(bot, { ...bot.settings, webhook });
    webhooks.revise();
  }
  return 'true';
}

/** deleteWebhook: updates are to be fetched from now on; those that wait stay unless told otherwise. Never throws. */
export function deleteWebhook({ world, webhooks }: WebhookDeps, bot: Bot, args: BotArguments): string {
  if (flagArgument(args, 'drop_pending_updates')) world.confirm(bot, bot.queue.nextId);
  const { webhook, ...others } = bot.settings;
  if (webhook !== undefined) {
    world.configure(bot, others);
    webhooks.revise();
  }
  return 'true';
}

/** getWebhookInfo: the Bot API's WebhookInfo, in JSON. Never throws. */
export function getWebhookInfo({ webhooks }: WebhookDeps, bot: Bot, _args: BotArguments, now: number): string {
  const { allowed = [], webhook } = bot.settings;
  const delivery = webhooks.delivery(bot);
  bot.queue.expire(now);
  return JSON.stringify({
    url: webhook?.url ?? '',
    has_custom_certificate: false,
    pending_update_count: bot.queue.length,
    ...(delivery?.lastError !== undefined && {
      last_error_date: Math.floor(delivery.lastError.at / 1000),
      last_error_message: delivery.lastError.message,
    }),
    ...(webhook !== undefined && { max_connections: webhook.maxConnections, ip_address: delivery?.address }),
    ...(allowed.length > 0 && { allowed_updates: allowed }),
  });
}

function readSettings(args: BotArguments): WebhookSettings | BotRefusal {
  const given = textArgument(args, 'url');
  const url = readWebhookUrl(given);
  if (url === undefined) return REFUSALS.webhookUrl;
  const secretToken = textArgument(args, 'secret_token');
  if (secretToken.length > SECRET_MAX) return REFUSALS.secretTooLong;
  if (!/^[\w-]*$/.test(secretToken)) return REFUSALS.secretCharacters;
  const ipAddress = textArgument(args, 'ip_address');
  const fault = webhookUrlFault(url) ?? (ipAddress === '' ? undefined : ipAddressFault(ipAddress));
  if (fault !== undefined) return badRequest(`bad webhook: ${fault}`);
  const connections = integerArgument(args, 'max_connections') ?? CONNECTIONS;
  return {
    url: given,
    secretToken,
    maxConnections: Math.max(1, Math.min(CONNECTIONS_MAX, connections)),
    ...(ipAddress !== '' && { ipAddress }),
  };
}
