// What a lab's own test does inside a namespace, one JSON command a line: {"udp":{}}, {"send":{address,port,data,times}},
// {"serve":{}}, {"fetch":{address,port,bytes}}. Answers and what arrives are one JSON value a line on standard output.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const say = (value) => console.log(JSON.stringify(value));
let socket;

const commands = {
  udp({ family = 4 }) {
    socket = createSocket(`udp${family}`);
    socket.on('message', (data, { address, port }) => {
      say({ heard: String(data), address, port });
      // Tells the sender as whom it is seen here, as STUN does.
      if (String(data).startsWith('who')) socket.send(`you ${address} ${port}`, port, address);
    });
    socket.on('error', (error) => say({ error: error.code }));
    socket.bind(0, () => say({ port: socket.address().port }));
  },
  send({ address, port, data, times = 1 }) {
    for (let n = 0; n < times; n++) socket.send(times > 1 ? `${data} ${n}` : data, port, address);
  },
  serve() {
    const server = createServer((client) => {
      client.on('error', (error) => say({ error: error.code }));
      client.once('data', (want) => client.end(Buffer.alloc(Number(want))));
    });
    server.listen(0, () => say({ port: server.address().port }));
  },
  fetch({ address, port, bytes }) {
    const started = performance.now();
    let got = 0;
    const client = connect(port, address, () => client.write(String(bytes)));
    client.on('data', (part) => {
      got += part.length;
    });
    client.on('error', (error) => say({ error: error.code }));
    client.on('end', () => say({ got, ms: performance.now() - started }));
  },
};

for await (const line of createInterface(process.stdin)) {
  const [[name, args]] = Object.entries(JSON.parse(line));
  commands[name](args);
}
process.exit();
