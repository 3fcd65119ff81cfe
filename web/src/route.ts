// Addresses of pages. Every page has one, so that it can be sent to somebody; links are real links.
import { signal } from './signal';

export const address = signal(location.pathname + location.search);

window.addEventListener('popstate', () => {
    address.value = location.pathname + location.search;
});

export function go(to: string, replace = false): void {
    if (to !== location.pathname + location.search)
        history[replace ? 'replaceState' : 'pushState'](null, '', to);
    address.value = to;
    if (!replace)
        scrollTo(0, 0);
}

// One listener for all links of ours.
document.addEventListener('click', (event) => {
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target ||
        link.origin !== location.origin || link.hasAttribute('download') || link.pathname.startsWith('/api/'))
        return;
    if (link.hash && link.pathname === location.pathname)
        return; // to a place on this page
    event.preventDefault();
    go(link.pathname + link.search);
});

// "/apps/shop/dev" -> ["apps", "shop", "dev"]
export function parts(at: string): string[] {
    return at.split('?')[0]!.split('/').filter(Boolean).map((part) => decodeURIComponent(part));
}

export function param(at: string, name: string): string | null {
    return new URLSearchParams(at.split('?')[1] ?? '').get(name);
}

// The same page with another query: for filters, that the address keeps.
export function setParam(name: string, value: string): void {
    const url = new URL(location.href);
    if (value)
        url.searchParams.set(name, value);
    else
        url.searchParams.delete(name);
    go(url.pathname + url.search, true);
}
