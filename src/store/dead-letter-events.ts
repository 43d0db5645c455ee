import type { Events } from '../events.js';
import type { Inbox } from './inbox.js';
import type { SendStore } from './send-store.js';

/** The send owner's store that publishes `delivery.dead` for each dead letter once it is durable. */
export function telling(store: SendStore, bot: string, events: Pick<Events, 'publish'>): SendStore {
  return {
    ...store,
    async commit(commit) {
      await store.commit(commit);
      for (const { source, reason, payload } of commit.deadLetters) {
        const outcome = payload.state === 'unknown' ? 'unknown' : 'dead';
        events.publish('delivery.dead', { bot, id: source, chatId: payload.chatId, outcome, reason });
      }
    },
  };
}

/** The inbox that publishes `update.dead` for each update that is given up, once that is durable. */
export function tellingInbox(inbox: Inbox, bot: string, events: Pick<Events, 'publish'>): Inbox {
  return {
    ...inbox,
    async bury(update, reason, attempts) {
      await inbox.bury(update, reason, attempts);
      events.publish('update.dead', { bot, updateId: update.updateId, reason });
    },
  };
}
