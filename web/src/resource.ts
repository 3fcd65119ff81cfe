// What the server says about something, kept fresh by the feed: asked for at once, again soon after an event that
// concerns it, and again when events were missed. What is shown stays until something newer is there.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError } from './api';
import { onFeed, onMissed, type FeedEvent } from './feed';
import { signal } from './signal';

// What is shown and could not be asked for again: since when it may be old.
export const failing = signal<ReadonlyMap<object, number>>(new Map());

function failed(who: object, since: number | null): void {
    if (since === null && !failing.value.has(who))
        return;
    const next = new Map(failing.value);
    if (since === null)
        next.delete(who);
    else if (!next.has(who))
        next.set(who, since);
    failing.value = next;
}

export interface Resource<T> {
    data: T | undefined;
    error: ApiError | undefined;
    reload: () => void;
}

interface Options {
    concerns?: (event: FeedEvent) => boolean;
    soon?: number; // ms after an event; several within that time are one question
    every?: number; // ms; for what no event tells
}

const RETRY_MS = 3_000;

// Does it help to ask again?
export function mayPass(error: ApiError): boolean {
    return error.status === 0 || error.status === 429 || error.status >= 500;
}

export function useResource<T>(path: string | null, { concerns, soon = 150, every = 0 }: Options = {}): Resource<T> {
    const [state, setState] = useState<{ path: string | null; data?: T; error?: ApiError }>({ path });
    const concernsNow = useRef(concerns);
    concernsNow.current = concerns;
    const again = useRef(() => {});

    useEffect(() => {
        if (!path)
            return;
        const own = new AbortController();
        let timer: ReturnType<typeof setTimeout> | undefined;
        let asking = false;
        let wanted = false;
        let good = 0; // when the last good answer came
        const plan = (ms: number) => {
            timer ??= setTimeout(() => {
                timer = undefined;
                void ask();
            }, ms);
        };
        const ask = async () => {
            if (asking) {
                wanted = true;
                return;
            }
            asking = true;
            wanted = false;
            try {
                const data = await api.get<T>(path, own.signal);
                if (own.signal.aborted)
                    return;
                good = Date.now();
                failed(own, null);
                setState({ path, data });
            } catch (error) {
                if (own.signal.aborted || !(error instanceof ApiError))
                    return;
                if (good)
                    failed(own, good);
                const gone = error.status === 403 || error.status === 404;
                setState((before) => ({ path, data: before.path === path && !gone ? before.data : undefined, error }));
                if (mayPass(error))
                    plan(error.retryAfter * 1000 || RETRY_MS);
            } finally {
                asking = false;
            }
            if (wanted && !own.signal.aborted)
                plan(soon);
        };
        again.current = () => void ask();
        void ask();
        const ends = [
            onFeed((event) => {
                if (concernsNow.current?.(event))
                    plan(soon);
            }),
            onMissed(() => plan(0)),
        ];
        const clock = every ? setInterval(() => !document.hidden && void ask(), every) : undefined;
        return () => {
            own.abort();
            failed(own, null);
            clearTimeout(timer);
            clearInterval(clock);
            for (const end of ends)
                end();
        };
    }, [path]);

    return { data: state.path === path ? state.data : undefined, error: state.path === path ? state.error : undefined, reload: () => again.current() };
}
