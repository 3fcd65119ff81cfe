// A million lines of one height: only those that are seen are drawn. Browsers cannot lay out a box of 20 million
// pixels, so beyond SCROLL_MAX the scroll bar stands for a share of the lines instead of a place.
import type { ComponentChildren, RefObject } from 'preact';
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from 'preact/hooks';

const LINE = 20; // px, as in the style sheet
const SCROLL_MAX = 8_000_000;
const SPARE = 10; // lines drawn beyond what is seen

export interface LinesHandle {
    show(index: number, share?: number): void; // so far down in the window
    shown(): number; // the first line that is seen
}

interface Props {
    count: number;
    line: (index: number) => ComponentChildren;
    follow?: boolean;
    label: string;
    marked?: (index: number) => boolean;
    onScrollUp?: () => void;
    handle?: RefObject<LinesHandle | null>;
}

export function Lines({ count, line, follow, label, marked, onScrollUp, handle }: Props) {
    const box = useRef<HTMLDivElement>(null);
    const [top, setTop] = useState(0);
    const [height, setHeight] = useState(400);
    const own = useRef(0); // where we put the scroll bar ourselves
    const full = count * LINE;
    const scrollable = Math.min(full, SCROLL_MAX);
    const room = Math.max(1, scrollable - height);
    const ratio = full > SCROLL_MAX ? (full - height) / room : 1;

    const scrollTo = (y: number) => {
        if (!box.current)
            return;
        own.current = Math.max(0, Math.min(y, room));
        box.current.scrollTop = own.current;
        own.current = box.current.scrollTop;
        setTop(own.current);
    };
    const none = useRef<LinesHandle>(null);
    useImperativeHandle(handle ?? none, () => ({
        show: (index, share = 1 / 3) => scrollTo((index * LINE - height * share) / ratio),
        shown: () => Math.floor((top * ratio) / LINE),
    }), [top, height, ratio, room]);
    useLayoutEffect(() => {
        const watch = new ResizeObserver(() => setHeight(box.current!.clientHeight));
        watch.observe(box.current!);
        return () => watch.disconnect();
    }, []);
    useEffect(() => {
        if (follow)
            scrollTo(room);
    }, [follow, count, height]);

    const first = Math.max(0, Math.floor((top * ratio) / LINE) - SPARE);
    const last = Math.min(count, Math.ceil((top * ratio + height) / LINE) + SPARE);
    const shift = first * LINE - top * ratio; // of the first drawn line from the upper edge
    const onScroll = () => {
        const y = box.current!.scrollTop;
        if (follow && y < own.current - 2)
            onScrollUp?.();
        setTop(y);
    };
    const rows = [];
    for (let i = first; i < last; i++)
        rows.push(<div key={i} class={`ln${marked?.(i) ? ' marked' : ''}`}>{line(i)}</div>);
    return (
        <div class="lines" ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-label={label} aria-live="off">
            <div style={{ height: `${scrollable}px` }}>
                <div class="window" style={{ transform: `translateY(${top + shift}px)` }}>{rows}</div>
            </div>
        </div>
    );
}
