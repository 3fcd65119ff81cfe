// The platform's API, as any program uses it: /api/v1, JSON, the session in a cookie that no script sees. Each request
// says whose page it is, so that a page never acts for somebody who signed in beside it in another tab.

export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly code: string, // stable: "merge_conflict"; "offline" when nothing answered
        text: string,
        readonly detail?: any,
        readonly retryAfter = 0, // seconds
    ) {
        super(text);
    }
}

let user: string | null = null;
let onSignedOut = () => {};

export function apiUser(name: string | null): void {
    user = name;
}

// Called when the server says that nobody is signed in (any more).
export function apiOnSignedOut(fn: () => void): void {
    onSignedOut = fn;
}

export function apiHeaders(): Record<string, string> {
    return user ? { 'X-Slipway-User': user } : {};
}

async function failure(response: Response): Promise<ApiError> {
    const body = await response.json().catch(() => null);
    const error = new ApiError(response.status, body?.error ?? `http_${response.status}`, body?.text ?? response.statusText, body?.detail,
        Number(response.headers.get('Retry-After') ?? 0));
    if (response.status === 401 && user)
        onSignedOut();
    return error;
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<any> {
    const headers = apiHeaders();
    if (body !== undefined)
        headers['Content-Type'] = 'application/json';
    let response: Response;
    try {
        response = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, credentials: 'same-origin' });
    } catch (error) {
        if (signal?.aborted)
            throw error;
        throw new ApiError(0, 'offline', 'the server did not answer');
    }
    if (!response.ok)
        throw await failure(response);
    return response.json();
}

export const api = {
    get: <T = any>(path: string, signal?: AbortSignal): Promise<T> => send('GET', path, undefined, signal),
    post: <T = any>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> => send('POST', path, body, signal),
    put: <T = any>(path: string, body: unknown): Promise<T> => send('PUT', path, body),
    delete: <T = any>(path: string, body?: unknown): Promise<T> => send('DELETE', path, body),
    // A file as it is.
    upload: async (path: string, file: Blob): Promise<any> => {
        const response = await fetch(`/api/v1${path}`, { method: 'POST', headers: { ...apiHeaders(), 'Content-Type': file.type || 'application/octet-stream' }, body: file, credentials: 'same-origin' });
        if (!response.ok)
            throw await failure(response);
        return response.json();
    },
};

// "/apps/" + a name with anything in it
export function seg(text: string | number): string {
    return encodeURIComponent(String(text));
}

export function query(values: Record<string, string | number | undefined | null>): string {
    const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
    return pairs.length ? '?' + pairs.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&') : '';
}

// One event stream (text/event-stream by fetch: unlike EventSource it tells why it was refused).
export interface StreamEvent {
    id: number;
    event: string;
    data: any;
}

// Runs until the stream ends, fails (throws) or the signal aborts. onOpen: the server took the request.
export async function stream(path: string, signal: AbortSignal, onOpen: () => void, onEvents: (events: StreamEvent[]) => void): Promise<void> {
    const response = await fetch(`/api/v1${path}`, { headers: { ...apiHeaders(), Accept: 'text/event-stream' }, signal, credentials: 'same-origin' });
    if (!response.ok)
        throw await failure(response);
    onOpen();
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
        const { done, value } = await reader.read();
        if (done)
            return;
        const blocks = (rest + value).split('\n\n');
        rest = blocks.pop()!;
        const events = blocks.map(parseBlock).filter((event): event is StreamEvent => event !== null);
        onEvents(events); // also when empty: a ping is a sign of life
    }
}

function parseBlock(block: string): StreamEvent | null {
    const event: StreamEvent = { id: 0, event: '', data: null };
    let data = '';
    for (const line of block.split('\n')) {
        if (line.startsWith('id: '))
            event.id = Number(line.slice(4));
        else if (line.startsWith('event: '))
            event.event = line.slice(7);
        else if (line.startsWith('data: '))
            data += line.slice(6);
    }
    if (!data)
        return event.id ? event : null; // an id alone: where the stream stands
    event.data = JSON.parse(data);
    return event;
}
