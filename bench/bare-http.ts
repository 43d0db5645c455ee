/** A process with a bare server of node:http that reads each request to its end and answers it with the same bytes, those of its argument: the ceiling of node:http. Prints `bare http://…`. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const answer = process.argv[2] ?? '';
const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(answer) };
const server = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(200, headers).end(answer));
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`bare http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once('SIGTERM', () => process.exit(0));
