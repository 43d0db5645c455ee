/** A command as /help shows it. */
export interface ShownCommand {
  readonly name: string;
  readonly description: string;
}

/** The answer to /start. */
export function startText(firstName: string | undefined): string {
  const greeting = firstName === undefined ? 'Hello!' : `Hello, ${firstName}!`;
  return `${greeting} You are subscribed now and will get the messages of this bot. /stop ends that, /help shows what else there is.`;
}

/** The answer to /stop. */
export const STOP_TEXT = 'You are unsubscribed: no more broadcasts will come. /start begins again.';

/** The answer to /status, by the subscription and the time since which it is so. */
export function statusText(subscription: 'active' | 'stopped' | undefined, since: Date): string {
  switch (subscription) {
    case 'active':
      return `You are subscribed since ${day(since)}. /stop ends that.`;
    case 'stopped':
      return `You are not subscribed: you stopped on ${day(since)}. /start begins again.`;
    default:
      return 'You are not subscribed. /start begins a subscription.';
  }
}

/** The answer to /help: one line a command. */
export function helpText(commands: readonly ShownCommand[]): string {
  return ['What you can ask for:', ...commands.map(({ name, description }) => `/${name} – ${description}`)].join('\n');
}

/** The answer to a command that nobody took. */
export const UNKNOWN_COMMAND_TEXT = 'I do not know that command. /help shows what I can do.';

/** A time to the minute, UTC: `2026-01-31 09:05 UTC`. */
function day(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
