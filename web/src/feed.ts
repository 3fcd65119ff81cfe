// What happens on the platform, as it happens: one stream for the whole page. Whoever shows something says which
// events concern it. While the stream is away the page says since when it may be wrong; when it is back, all that is
// shown is asked for again if events were missed. A page that nobody sees gives its connection back.
import { signal } from './signal';
import { stream, type StreamEvent } from './api';

export interface FeedEvent {
    id: number;
    at: number;
    topic: 'journal' | 'rollout' | 'build' | 'instance' | 'output' | 'repo' | 'gap';
    app: string | null;
    env: string | null;
    data: any;
}
type Listener = (event: FeedEvent) => void;

// null: live. Else since when (ms) nothing was heard.
export const staleSince = signal<number | null>(null);

const HIDDEN_MS = 30_000; // a hidden page keeps its stream that long
const SILENCE_MS = 40_000; // the server pings every 15 s
const listeners = new Set<Listener>();
const missed = new Set<() => void>();
let last = 0;
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
    if (staleSince.value !== null)
        staleSince.value = null;
    for (const { id, event, data } of events) {
        last = Math.max(last, id);
        if (event === 'gap')
            tellMissed();
        else
            for (const listener of [...listeners])
                listener(data as FeedEvent);
    }
}

async function run(own: AbortController): Promise<void> {
    let wait = 500;
    let first = last === 0;
    while (!own.signal.aborted) {
        const attempt = new AbortController();
        own.signal.addEventListener('abort', () => attempt.abort(), { once: true });
        const watch = setInterval(() => Date.now() - heard > SILENCE_MS && attempt.abort(), 5_000);
        try {
            await stream(`/events${last ? `?after=${last}` : ''}`, attempt.signal, () => {
                wait = 500;
                take([]);
                if (!first && last === 0)
                    tellMissed(); // no cursor to go on from
                first = false;
            }, take);
        } catch {
            // refused or cut: tried again below
        }
        clearInterval(watch);
        if (own.signal.aborted)
            return;
        staleSince.value ??= heard;
        await new Promise((done) => setTimeout(done, wait));
        wait = Math.min(wait * 2, 5_000);
    }
}

export function feedStart(): void {
    if (running)
        return;
    running = new AbortController();
    heard = Date.now();
    void run(running);
}

export function feedStop(): void {
    running?.abort();
    running = null;
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
        }, HIDDEN_MS);
    else {
        looked.value = true;
        if (paused)
            feedStart();
        paused = false;
    }
});
