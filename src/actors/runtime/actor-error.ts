/** An error of the actor runtime with its stable code. */
export interface ActorError extends Error {
  readonly code: string;
}

/** Makes an error with a stable code `PH_ACTOR_…`, and the cause if there is one. Never throws. */
export const actorError = (code: string, message: string, cause?: unknown): ActorError =>
  Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code });

/** What was thrown, as an Error: itself, or one that names it. Never throws. */
export const asError = (thrown: unknown): Error => {
  if (thrown instanceof Error) return thrown;
  let said: string;
  try {
    said = String(thrown);
  } catch {
    said = typeof thrown;
  }
  return actorError('PH_ACTOR_THROWN', `What was thrown is no Error: ${said}`, thrown);
};
