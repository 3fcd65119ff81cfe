// What the server says about something, kept fresh by the feed: asked for at once, again soon after an event that
// concerns it, and again when events were missed. What is shown stays until something newer is there.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError } from './api';
import { onFeed, onMissed, type FeedEvent } from './feed';

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
                if (!own.signal.aborted)
                    setState({ path, data });
            } catch (error) {
                if (own.signal.aborted || !(error instanceof ApiError))
                    return;
                setState((before) => ({ path, data: before.path === path ? before.data : undefined, error }));
                if (error.status === 0 || error.status >= 500)
                    plan(RETRY_MS);
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
            clearTimeout(timer);
            clearInterval(clock);
            for (const end of ends)
                end();
        };
    }, [path]);

    return { data: state.path === path ? state.data : undefined, error: state.path === path ? state.error : undefined, reload: () => again.current() };
}
