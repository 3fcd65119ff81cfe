// Two languages. Each word or sentence stands once, in both, in words.ts; {name} is filled in, {n|commit|commits} is the
// first for one and the second for more.
import { signal } from './signal';
import { words, type Word } from './words';

export type Lang = 'en' | 'zh-CN';
const KEY = 'slipway.lang';

function chosen(): Lang {
    const kept = localStorage.getItem(KEY);
    if (kept === 'en' || kept === 'zh-CN')
        return kept;
    return navigator.languages.some((name) => name.toLowerCase().startsWith('zh')) ? 'zh-CN' : 'en';
}

export const lang = signal<Lang>(chosen());
document.documentElement.lang = lang.value;

export function setLang(next: Lang): void {
    localStorage.setItem(KEY, next);
    document.documentElement.lang = next;
    lang.value = next;
}

export function t(word: Word, values: Record<string, string | number> = {}): string {
    const text = words[word][lang.value === 'en' ? 0 : 1];
    return text.replace(/\{(\w+)\|([^|}]*)\|([^}]*)\}/g, (_, name, one, more) => (Number(values[name]) === 1 ? one : more))
        .replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

// The word for a name that comes from the server ("state.running"), or the name as it is.
export function tName(prefix: string, name: string | null | undefined): string {
    const key = `${prefix}.${name}`;
    return key in words ? t(key as Word) : (name ?? '');
}
