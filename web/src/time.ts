// Times in the viewer's zone, ages that grow by themselves.
import { lang, t } from './i18n';
import { signal } from './signal';

// The time that ages are told from; one timer for the page.
export const now = signal(Date.now());
setInterval(() => {
    if (!document.hidden)
        now.value = Date.now();
}, 15_000);

export function duration(ms: number): string {
    const s = ms / 1000;
    if (s < 10)
        return t('unit.s', { n: s.toFixed(s < 1 ? 2 : 1) });
    if (s < 90)
        return t('unit.s', { n: Math.round(s) });
    if (s < 90 * 60)
        return t('unit.m', { n: Math.round(s / 60) });
    if (s < 36 * 3600)
        return t('unit.h', { n: Math.round(s / 3600) });
    return t('unit.d', { n: Math.round(s / 86400) });
}

export function age(at: number, from = now.value): string {
    const ms = Math.max(0, from - at);
    return ms < 10_000 ? t('justNow') : t('ago', { age: duration(ms) });
}

const formats = new Map<string, Intl.DateTimeFormat>();
function format(kind: 'full' | 'clock'): Intl.DateTimeFormat {
    const key = `${lang.value} ${kind}`;
    let made = formats.get(key);
    if (!made) {
        made = new Intl.DateTimeFormat(lang.value, kind === 'full'
            ? { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'shortOffset' }
            : { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
        formats.set(key, made);
    }
    return made;
}

// With the offset from UTC: nobody has to ask which zone.
export function full(at: number): string {
    return format('full').format(at);
}

export function clock(at: number): string {
    return format('clock').format(at);
}

export function clockMs(at: number): string {
    return `${clock(at)}.${String(at % 1000).padStart(3, '0')}`;
}

export function bytes(n: number): string {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let i = 0;
    while (n >= 1024 && i < units.length - 1) {
        n /= 1024;
        i++;
    }
    return `${n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}
