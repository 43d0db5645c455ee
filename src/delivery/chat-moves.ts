/** A chat moves once or twice in its life; more would be a circle. */
export const MOST_MOVES = 8;

/** The chat that a chat has become, by the moves that are known: `movedTo` tells each of them. Itself if it has not moved. Never throws. */
export function lastPlace(chatId: number, movedTo: (chatId: number) => number | undefined): number {
  let place = chatId;
  for (let moves = 0; moves < MOST_MOVES; moves += 1) {
    const next = movedTo(place);
    if (next === undefined) return place;
    place = next;
  }
  return place;
}
