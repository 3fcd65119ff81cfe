// The HTTP proxy of a company: the one way out, and the only one that knows the names outside (all of them lead to
// 127.0.0.1 here). `asked` is what it was asked for: "CONNECT host:port" or "GET http://host:port/path".
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

export async function proxyNew() {
    const proxy = new Proxy();
    await new Promise((resolve, reject) => proxy.server.once('error', reject).listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
}

class Proxy {
    asked = [];
    denies = false;
    #tunnels = new Set();

    constructor() {
        this.server = createServer((incoming, response) => this.#pass(incoming, response));
        this.server.on('connect', (incoming, socket, head) => this.#tunnel(incoming, socket, head));
    }

    #pass(incoming, response) {
        this.asked.push(`${incoming.method} ${incoming.url}`);
        if (this.denies) {
            response.writeHead(403).end('not from here');
            return;
        }
        const { port, pathname, search } = new URL(incoming.url);
        const onward = request({ host: '127.0.0.1', port, method: incoming.method, path: pathname + search, headers: incoming.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        onward.on('error', () => response.destroy());
        incoming.pipe(onward);
    }

    #tunnel(incoming, socket, head) {
        this.asked.push(`CONNECT ${incoming.url}`);
        if (this.denies) {
            socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
            return;
        }
        const onward = connect(Number(incoming.url.split(':').pop()), '127.0.0.1', () => {
            socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
            onward.write(head);
            onward.pipe(socket).pipe(onward);
        });
        for (const one of [socket, onward]) {
            this.#tunnels.add(one);
            one.on('error', () => {});
            one.on('close', () => { this.#tunnels.delete(one); socket.destroy(); onward.destroy(); });
        }
    }

    async close() {
        this.#tunnels.forEach((socket) => socket.destroy());
        this.server.closeAllConnections();
        await new Promise((resolve) => this.server.close(resolve));
    }
}
