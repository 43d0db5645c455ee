import { createIndexes } from '../../store/store.js';
import { EXIT } from '../exit.js';
import { say, sayJson } from '../io.js';
import type { Session } from '../session.js';
import { withStore } from '../with-store.js';

/** `posthorn migrate`: makes the collections and indexes that are missing; may be run again. Resolves with the exit code. */
export async function migrate(session: Session, json: boolean): Promise<number> {
  return withStore(session, async ({ store }) => {
    await createIndexes(store);
    const collections = Object.values(store.models).map((model) => model.collection.collectionName);
    if (json) sayJson(session.io, { collections });
    else say(session.io, `collections and indexes are in place: ${collections.join(', ')}`);
    return EXIT.done;
  });
}
