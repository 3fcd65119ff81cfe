// A value that many show: whoever uses it in a component is drawn again when it changes.
import { useLayoutEffect, useState } from 'preact/hooks';

export interface Signal<T> {
    value: T;
    watch(fn: () => void): () => void;
}

export function signal<T>(first: T): Signal<T> {
    let value = first;
    const watchers = new Set<() => void>();
    return {
        get value() {
            return value;
        },
        set value(next: T) {
            if (Object.is(next, value))
                return;
            value = next;
            for (const fn of [...watchers])
                fn();
        },
        watch(fn) {
            watchers.add(fn);
            return () => watchers.delete(fn);
        },
    };
}

export function useSignal<T>(s: Signal<T>): T {
    const [, draw] = useState(0);
    const drawn = s.value;
    useLayoutEffect(() => {
        const again = () => draw((n) => n + 1);
        if (!Object.is(s.value, drawn))
            again(); // it changed between drawing and watching
        return s.watch(again);
    }, [s]);
    return drawn;
}
