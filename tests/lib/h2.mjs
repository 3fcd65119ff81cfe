// HTTP/2 by hand, for what no client library would send: header blocks as they are given (literals, no
// compression), and DATA frames as they are.
//
//     const { status, error } = await h2(p.ports.https, [[':method', 'GET'], [':path', '/a\r\nX: y'], ...]);
import tls from 'node:tls';

const DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7;
const END_STREAM = 1, ACK = 1, END_HEADERS = 4;
const STATUSES = { 0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500 }; // HPACK's own table

export function frame(type, flags, stream, payload = Buffer.alloc(0)) {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}

// A string of HPACK: its length in 7 bits and more, no Huffman code.
function string(text) {
    const bytes = Buffer.from(text, 'latin1');
    const head = [Math.min(bytes.length, 127)];
    if (bytes.length >= 127) {
        let left = bytes.length - 127;
        for (; left >= 128; left >>= 7)
            head.push((left & 127) | 128);
        head.push(left);
    }
    return Buffer.concat([Buffer.from(head), bytes]);
}

export const headerBlock = (headers) => Buffer.concat(headers.map(([name, value]) => Buffer.concat([Buffer.from([0]), string(name), string(value)])));

// The status of the first header of an answer: from the table, or a literal with the table's name.
function statusOf(block) {
    if (STATUSES[block[0]])
        return STATUSES[block[0]];
    const digits = /^[\x08\x18\x48]\x03(\d{3})/.exec(block.toString('latin1'));
    return digits ? Number(digits[1]) : 0;
}

// Send one request on stream 1; bodies are the DATA frames after the headers. Resolves when the stream or the
// connection ends: {status (0: none), error ('reset', 'goaway', 'closed' or null), text}.
export function h2(port, headers, bodies = [], { timeout = 3000 } = {}) {
    return new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
        const answer = { status: 0, error: null, text: '' };
        let read = Buffer.alloc(0);
        const finish = (error) => {
            clearTimeout(timer);
            socket.destroy();
            answer.error ??= error;
            resolve(answer);
        };
        const timer = setTimeout(() => finish('silent'), timeout);
        const take = (type, flags, stream, payload) => {
            if (type === SETTINGS && !(flags & ACK))
                socket.write(frame(SETTINGS, ACK, 0));
            if (type === GOAWAY || (type === RST_STREAM && stream === 1 && !answer.status))
                return finish(type === GOAWAY ? 'goaway' : 'reset');
            if (type === HEADERS && stream === 1)
                answer.status = statusOf(payload);
            if (type === DATA && stream === 1)
                answer.text += payload.toString('latin1');
            if ((type === HEADERS || type === DATA) && stream === 1 && flags & END_STREAM)
                finish(null);
        };
        socket.on('secureConnect', () => {
            if (socket.alpnProtocol !== 'h2')
                return reject(new Error(`ALPN chose ${socket.alpnProtocol}`));
            const last = bodies.length - 1;
            socket.write(Buffer.concat([
                Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0),
                frame(HEADERS, END_HEADERS | (bodies.length ? 0 : END_STREAM), 1, headerBlock(headers)),
                ...bodies.map((body, i) => frame(DATA, i === last ? END_STREAM : 0, 1, Buffer.from(body, 'latin1'))),
            ]));
        });
        socket.on('data', (part) => {
            read = Buffer.concat([read, part]);
            while (read.length >= 9 && read.length >= 9 + read.readUIntBE(0, 3)) {
                const length = read.readUIntBE(0, 3);
                take(read[3], read[4], read.readUInt32BE(5) & 0x7fffffff, read.subarray(9, 9 + length));
                read = read.subarray(9 + length);
            }
        });
        socket.on('close', () => finish(answer.status ? null : 'closed'));
        socket.on('error', (error) => (socket.alpnProtocol ? finish('closed') : reject(error)));
    });
}
