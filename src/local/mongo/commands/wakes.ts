/** Those who wait for documents of a namespace. */
export interface Wakes {
  /** Notes that a namespace got a document; told when the batch is on the disk. */
  note(namespace: string): void;
  /** Wakes everyone whose namespace was noted. */
  fire(): void;
  /** Forgets what was noted: the batch was undone. */
  forget(): void;
  wait(namespace: string, ms: number, signal: AbortSignal): Promise<void>;
}

/** Makes the table of those who wait. Never throws. */
export function openWakes(): Wakes {
  const waiting = new Map<string, Set<() => void>>();
  const noted = new Set<string>();
  return {
    note: (namespace) => void noted.add(namespace),
    fire() {
      for (const namespace of noted) for (const wake of [...(waiting.get(namespace) ?? [])]) wake();
      noted.clear();
    },
    forget: () => noted.clear(),
    wait(namespace, ms, signal) {
      return new Promise((resolve) => {
        const all = waiting.get(namespace) ?? new Set();
        waiting.set(namespace, all);
        const end = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
          all.delete(end);
          if (all.size === 0 && waiting.get(namespace) === all) waiting.delete(namespace);
          resolve();
        };
        const timer = setTimeout(end, ms);
        signal.addEventListener('abort', end);
        all.add(end);
        if (signal.aborted) end();
      });
    },
  };
}
