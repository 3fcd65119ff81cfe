// What happens on the platform, as it happens: one stream for the whole page. Whoever shows something says which
// events concern it. While the stream is away the page says since when it may be wrong; when it is back, all that is
// shown is asked for again if events were missed. A page that nobody sees gives its connection back.
import { signal } from './signal';
import { stream, type StreamEvent } from './api';

export interface FeedEvent {
    id: number;
    at: number;
    topic: 'journal' | 'rollout' | 'build' | 'instance' | 'output' | 'repo' | 'fetch' | 'facts' | 'finding' | 'gap';
    app: string | null;
    env: string | null;
    data: any;
}
type Listener = (event: FeedEvent) => void;

// null: live. Else since when (ms) nothing was heard.
export const staleSince = signal<number | null>(null);

const HIDDEN_MS = 30_000; // a hidden page keeps its streams that long
const SILENCE_MS = 40_000; // the server pings every 15 s
const listeners = new Set<Listener>();
const missed = new Set<() => void>();
let last = 0; // the cursor: the server says it when the stream opens, and with each event
let heard = Date.now();
let running: AbortController | null = null;

export function onFeed(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
}

// Called when events were missed: what is shown must be asked for again.
export function onMissed(fn: () => void): () => void {
    missed.add(fn);
    return () => missed.delete(fn);
}

function tellMissed(): void {
    for (const fn of [...missed])
        fn();
}

function take(events: StreamEvent[]): void {
    heard = Date.now();
    staleSince.value = null;
    for (const { id, event, data } of events) {
        last = Math.max(last, id);
        if (event === 'gap')
            tellMissed();
        else if (event)
            for (const listener of [...listeners])
                listener(data as FeedEvent);
    }
}

// One connection, to its end.
async function follow(own: AbortController): Promise<void> {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    own.signal.addEventListener('abort', abort, { once: true });
    const began = Date.now();
    const watch = setInterval(() => Date.now() - Math.max(heard, began) > SILENCE_MS && abort(), 5_000);
    const resumes = last > 0;
    try {
        await stream(`/events${resumes ? `?after=${last}` : ''}`, attempt.signal, () => {
            take([]);
            if (!resumes)
                tellMissed(); // whatever was asked for before this may be older than the stream
        }, take);
    } finally {
        clearInterval(watch);
        own.signal.removeEventListener('abort', abort);
    }
}

async function run(own: AbortController): Promise<void> {
    for (let wait = 500; !own.signal.aborted; wait = Math.min(wait * 2, 5_000)) {
        const before = heard;
        await follow(own).catch(() => {}); // refused or cut: tried again
        if (own.signal.aborted)
            return;
        staleSince.value ??= heard;
        if (heard !== before)
            wait = 500;
        await new Promise((done) => setTimeout(done, wait));
    }
}

export function feedStart(): void {
    if (running)
        return;
    running = new AbortController();
    void run(running);
}

export function feedStop(): void {
    running?.abort();
    running = null;
}

// Somebody else may sign in after this: nothing of the one before is gone on with.
export function feedForget(): void {
    feedStop();
    last = 0;
    heard = Date.now();
    staleSince.value = null;
}

// Is the page looked at? Who has a stream of their own gives it back, too.
export const looked = signal(true);
let hiding: ReturnType<typeof setTimeout> | undefined;
let paused = false;
document.addEventListener('visibilitychange', () => {
    clearTimeout(hiding);
    if (document.hidden)
        hiding = setTimeout(() => {
            looked.value = false;
            paused = running !== null;
            feedStop();
            if (paused)
                staleSince.value ??= heard; // until it is live again
        }, HIDDEN_MS);
    else {
        looked.value = true;
        if (paused)
            feedStart();
        paused = false;
    }
});
