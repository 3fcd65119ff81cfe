// Who is signed in: the cookie belongs to the browser, so the server is asked.
import { api, apiOnSignedOut, apiUser } from './api';
import { feedStart, feedStop } from './feed';
import { signal } from './signal';
import type { Me } from './types';

// undefined: not known yet; null: nobody
export const me = signal<Me | null | undefined>(undefined);
// Somebody was signed in and is not any more: the page stays, and asks for the password above it.
export const wasSignedOut = signal(false);

export async function sessionLoad(): Promise<void> {
    try {
        const who = await api.get<Me>('/me');
        apiUser(who.name);
        me.value = who;
        wasSignedOut.value = false;
        feedStart();
    } catch {
        apiUser(null);
        me.value = null;
    }
}

apiOnSignedOut(() => {
    feedStop();
    apiUser(null);
    wasSignedOut.value = true;
    me.value = null;
});

export async function signIn(name: string, password: string): Promise<void> {
    apiUser(null);
    await api.post('/login', { name, password, cookie: true });
    await sessionLoad();
}

export async function setUp(link: string, name: string, password: string): Promise<void> {
    apiUser(null);
    await api.post('/setup', { link, ...(name ? { name } : {}), password, cookie: true });
    await sessionLoad();
}

export async function signOut(): Promise<void> {
    await api.post('/logout').catch(() => {});
    feedStop();
    apiUser(null);
    wasSignedOut.value = false;
    me.value = null;
}

// May this person do that, with these rights of the app or app-env?
export function may(rights: string[] | undefined, permission: string): boolean {
    return !!rights?.includes(permission);
}
