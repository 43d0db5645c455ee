/** HttpActor: the HTTP server as a child of the root, first up and last down. It gets no mail; a lost listener is its crash. Failure policy: one-for-one. */
import { type HttpDeps, type HttpServer, httpServer } from '../http/server.js';
import { type ActorSpec, assertNever } from './runtime.js';

type OwnMessage = { readonly type: 'lost'; readonly error: Error };

/**
 * The actor `http`. `listening` is told the port each time it listens: of port 0 the one it had first, so that a restart keeps the address.
 * A listener that cannot be had is a failed start with its ListenError.
 */
export function httpActor(
  deps: Omit<HttpDeps, 'onLost'>,
  listening: (port: number) => void,
): ActorSpec<{ readonly server: HttpServer }, OwnMessage> {
  let { port } = deps;
  return {
    name: 'http',
    async init(ctx) {
      const server = httpServer({
        ...deps,
        port,
        onLost: (error) => {
          ctx.tell(ctx.self, { type: 'lost', error });
        },
      });
      ({ port } = await server.listen());
      listening(port);
      return { server };
    },
    receive(_state, message) {
      switch (message.type) {
        case 'lost':
          throw message.error;
        default:
          return assertNever(message.type);
      }
    },
    stop: ({ server }) => server.close(),
  };
}
