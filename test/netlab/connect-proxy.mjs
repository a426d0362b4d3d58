// An HTTP proxy that knows CONNECT to port 443 and nothing else. usage: connect-proxy.mjs HOST PORT. Prints a line when it serves.
import { createServer } from 'node:http';
import { connect } from 'node:net';

const [host, port] = process.argv.slice(2);
const server = createServer((_, response) => response.writeHead(405).end());

server.on('connect', (request, client, head) => {
  const { hostname, port: to } = new URL(`http://${request.url}`);
  if (to !== '443') {
    client.end('HTTP/1.1 403 Only port 443\r\n\r\n');
    return;
  }
  const upstream = connect(443, hostname.replace(/^\[|\]$/g, ''), () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    upstream.pipe(client).pipe(upstream);
  });
  const end = () => {
    client.destroy();
    upstream.destroy();
  };
  for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
});

server.listen(Number(port), host, () => console.log('ready'));
