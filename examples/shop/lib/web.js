// The few things that every route needs: an answer with its length, a body with its limit.
const BODY_MAX = 16 * 1024;
const TYPES = { html: 'text/html; charset=utf-8', json: 'application/json; charset=utf-8', text: 'text/plain; charset=utf-8' };

export function send(response, status, type, body) {
    response.writeHead(status, { 'content-type': TYPES[type], 'content-length': Buffer.byteLength(body) });
    response.end(body);
}

export function sendJson(response, status, value) {
    send(response, status, 'json', JSON.stringify(value));
}

export function refusal(status, text) {
    return Object.assign(new Error(text), { status });
}

// The fields of a form or of a JSON object.
export async function bodyRead(request) {
    const parts = [];
    let size = 0;
    for await (const part of request) {
        size += part.length;
        if (size > BODY_MAX)
            throw refusal(413, 'that is too much');
        parts.push(part);
    }
    const text = Buffer.concat(parts).toString();
    if (!request.headers['content-type']?.startsWith('application/json'))
        return Object.fromEntries(new URLSearchParams(text));
    try {
        return JSON.parse(text);
    } catch {
        throw refusal(400, 'that is not JSON');
    }
}

export function wantsJson(request) {
    const accept = request.headers.accept ?? '';
    return accept.includes('application/json') && !accept.includes('text/html');
}
