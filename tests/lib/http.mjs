// HTTP for tests: one request, any Host header, over TCP or a unix socket; streams of server-sent events;
// and raw bytes for what no client library would send.
import http from 'node:http';
import net from 'node:net';

// to: {port, address?} or {socketPath}. Returns {status, headers, text, json, bytes}.
export function request(to, method, path, { headers = {}, body, json, timeout = 30_000 } = {}) {
    if (json !== undefined) {
        body = JSON.stringify(json);
        headers = { 'content-type': 'application/json', ...headers };
    }
    if (body !== undefined && headers['transfer-encoding'] === undefined)
        headers = { 'content-length': Buffer.byteLength(body), ...headers };
    return new Promise((resolve, reject) => {
        const call = http.request({ ...target(to), method, path, headers, agent: false, timeout }, (response) => {
            const parts = [];
            response.on('data', (part) => parts.push(part));
            response.on('error', reject);
            response.on('end', () => resolve(reply(response, Buffer.concat(parts))));
        });
        call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer in ${timeout} ms`)));
        call.on('error', reject);
        call.end(body);
    });
}

function target(to) {
    return to.socketPath ? { socketPath: to.socketPath, host: 'localhost' } : { host: to.address ?? '127.0.0.1', port: to.port };
}

function reply(response, bytes) {
    return {
        status: response.statusCode, headers: response.headers, bytes,
        get text() { return bytes.toString('utf8'); },
        get json() { return bytes.length ? JSON.parse(bytes.toString('utf8')) : null; },
    };
}

// Server-sent events: an async iterator of {id, event, data} with close(). Comments are skipped.
export async function events(to, path, { headers = {} } = {}) {
    const response = await new Promise((resolve, reject) => {
        const call = http.request({ ...target(to), path, headers: { accept: 'text/event-stream', ...headers }, agent: false }, resolve);
        call.on('error', reject);
        call.end();
    });
    if (response.statusCode !== 200) {
        const parts = await response.toArray();
        throw Object.assign(new Error(`GET ${path}: ${response.statusCode} ${Buffer.concat(parts)}`), { status: response.statusCode });
    }
    const stream = parse(response);
    return { [Symbol.asyncIterator]: () => stream, close: () => response.destroy(), response };
}

async function* parse(response) {
    let text = '';
    response.setEncoding('utf8');
    try {
        for await (const part of response) {
            text += part;
            for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
                const event = block(text.slice(0, end));
                if (event)
                    yield event;
            }
        }
    } catch (error) {
        if (error.code !== 'ECONNRESET' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE')
            throw error;
    }
}

function block(text) {
    const event = { id: null, event: 'message', data: '' };
    const data = [];
    for (const line of text.split('\n')) {
        const colon = line.indexOf(':');
        if (colon <= 0)
            continue;
        const value = line.slice(colon + 1).replace(/^ /, '');
        if (line.slice(0, colon) === 'data')
            data.push(value);
        else
            event[line.slice(0, colon)] = value;
    }
    if (!data.length)
        return null;
    event.data = data.join('\n');
    try {
        event.json = JSON.parse(event.data);
    } catch {
        event.json = null;
    }
    return event;
}

// Send bytes as they are, give back all that comes until the peer closes or the time is over.
export function raw(to, bytes, { timeout = 3000 } = {}) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(to.socketPath ? { path: to.socketPath } : { port: to.port, host: to.address ?? '127.0.0.1' });
        const parts = [];
        const finish = (closed) => {
            clearTimeout(timer);
            socket.destroy();
            const text = Buffer.concat(parts).toString('latin1');
            resolve({ text, closed, statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1])) });
        };
        const timer = setTimeout(() => finish(false), timeout);
        socket.on('connect', () => socket.write(bytes));
        socket.on('data', (part) => parts.push(part));
        socket.on('close', () => finish(true));
        socket.on('error', (error) => (parts.length || error.code === 'ECONNRESET' || error.code === 'EPIPE' ? finish(true) : reject(error)));
    });
}
