// Requests a second of all app-envs: asked for together, while the page is seen.
import { useEffect, useRef, useState } from 'preact/hooks';
import { api } from './api';

const TRAFFIC_SECONDS = 120;
const EVERY_MS = 10_000;
const PER_POINT = 4; // seconds

export interface Traffic {
    perSecond: number;
    points: number[]; // requests per PER_POINT seconds, oldest first
}

interface Second {
    at: number;
    requests: number;
}

function fold(seconds: Second[], now: number): Traffic {
    const points = new Array<number>(TRAFFIC_SECONDS / PER_POINT).fill(0);
    let sum = 0;
    for (const second of seconds) {
        const ago = now - second.at;
        if (ago < 0 || ago >= TRAFFIC_SECONDS)
            continue;
        points[points.length - 1 - Math.floor(ago / PER_POINT)]! += second.requests;
        if (ago < 60)
            sum += second.requests;
    }
    return { perSecond: sum / 60, points };
}

// "shop.dev" -> its traffic; what has none is not in it.
export function useTraffic(): Map<string, Traffic> {
    const [traffic, setTraffic] = useState(new Map<string, Traffic>());
    const kept = useRef(new Map<string, Map<number, Second>>());
    useEffect(() => {
        const own = new AbortController();
        let asked = 0;
        const load = async () => {
            if (document.hidden)
                return;
            const seconds = asked && Date.now() - asked < 60_000 ? Math.ceil((Date.now() - asked) / 1000) + 5 : TRAFFIC_SECONDS;
            asked = Date.now();
            const reply = await api.get(`/top?seconds=${seconds}`, own.signal).catch(() => null);
            if (!reply)
                return;
            const now: number = reply.now; // s, as the seconds themselves
            const next = new Map<string, Traffic>();
            for (const [name, figures] of Object.entries<any>(reply.app_envs)) {
                const known = kept.current.get(name) ?? new Map<number, Second>();
                kept.current.set(name, known);
                for (const second of figures.seconds ?? [])
                    known.set(second.at, second);
            }
            for (const [name, known] of kept.current) {
                for (const at of known.keys())
                    if (at < now - TRAFFIC_SECONDS)
                        known.delete(at);
                if (known.size)
                    next.set(name, fold([...known.values()], now));
            }
            setTraffic(next);
        };
        void load();
        const timer = setInterval(() => void load(), EVERY_MS);
        return () => {
            own.abort();
            clearInterval(timer);
        };
    }, []);
    return traffic;
}
