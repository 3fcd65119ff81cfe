// The HTTP API for tests: api.get('/apps'), api.post('/apps', {name}). A path begins below /api/v1. A
// status that is not 2xx throws with .status, .error (its stable name) and .text; api.call never throws.
import { events, request } from './http.mjs';

export function apiNew(to, token = null) {
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    const call = (method, path, json, options = {}) => request(to, method, `/api/v1${path}`, {
        json, ...options, headers: { ...authorization, ...options.headers },
    });
    const good = async (method, path, json, options) => {
        const reply = await call(method, path, json, options);
        if (reply.status >= 200 && reply.status < 300)
            return reply.json;
        throw refused(`${method} ${path}`, reply);
    };
    return {
        to, token, call,
        get: (path, options) => good('GET', path, undefined, options),
        post: (path, json = {}, options) => good('POST', path, json, options),
        put: (path, json, options) => good('PUT', path, json, options),
        delete: (path, json, options) => good('DELETE', path, json, options),
        events: (path, options = {}) => events(to, `/api/v1${path}`, { ...options, headers: { ...authorization, ...options.headers } }),
        // Every item of a list, through all its pages; the path may say after what to begin.
        async *pages(path) {
            const [noun, asked] = path.split('?');
            for (const query = new URLSearchParams(asked); ;) {
                const page = await good('GET', query.size ? `${noun}?${query}` : noun);
                yield* page.items;
                if (page.next === null || page.next === undefined)
                    return;
                query.set('after', page.next);
            }
        },
    };
}

function refused(what, reply) {
    let body = {};
    try {
        body = reply.json ?? {};
    } catch {
        // not JSON: the status must do
    }
    return Object.assign(new Error(`${what}: ${reply.status} ${body.error ?? ''} ${body.text ?? reply.text.slice(0, 300)}`),
        { status: reply.status, error: body.error, text: body.text, reply });
}
