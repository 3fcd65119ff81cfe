// Who is signed in: the cookie belongs to the browser, so the server is asked.
import { api, ApiError, apiOnSignedOut, apiUser } from './api';
import { feedForget, feedStart, onFeed } from './feed';
import { signal } from './signal';
import type { Me } from './types';

// undefined: not known yet; null: nobody
export const me = signal<Me | null | undefined>(undefined);
// Somebody was signed in and is not any more: the page stays, and asks for the password above it.
export const wasSignedOut = signal(false);

// Throws when the server cannot tell; 401 tells that it is nobody.
async function load(): Promise<void> {
    try {
        const who = await api.get<Me>('/me');
        apiUser(who.name);
        me.value = who;
        wasSignedOut.value = false;
        feedStart();
    } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 401)
            throw error;
        apiUser(null);
        me.value = null;
    }
}

// Why it is not known who is signed in; it is asked again by itself.
export const unknown = signal<ApiError | null>(null);
const AGAIN_MS = 3_000;

export async function sessionLoad(): Promise<void> {
    try {
        await load();
        unknown.value = null;
    } catch (error) {
        unknown.value = error instanceof ApiError ? error : new ApiError(0, 'offline', String(error));
        setTimeout(() => void sessionLoad(), AGAIN_MS);
    }
}

// Roles were given or taken: the buttons follow.
let reloading: ReturnType<typeof setTimeout> | undefined;
onFeed((event) => {
    if (event.topic === 'journal' && /^(grant|role)\./.test(event.data.kind) && me.value)
        reloading ??= setTimeout(() => {
            reloading = undefined;
            void api.get<Me>('/me').then((who) => {
                if (me.value && JSON.stringify(who) !== JSON.stringify(me.value))
                    me.value = who;
            }, () => {});
        }, AGAIN_MS);
});

function forget(): void {
    feedForget();
    apiUser(null);
    me.value = null;
}

apiOnSignedOut(() => {
    forget();
    wasSignedOut.value = true;
});

export async function signIn(name: string, password: string): Promise<void> {
    apiUser(null);
    await api.post('/login', { name, password, cookie: true });
    await load();
}

export async function setUp(link: string, name: string, password: string): Promise<void> {
    apiUser(null);
    await api.post('/setup', { link, ...(name ? { name } : {}), password, cookie: true });
    await load();
}

export async function signOut(): Promise<void> {
    await api.post('/logout').catch((error) => {
        if (!(error instanceof ApiError) || error.status !== 401)
            throw error; // the session lives on: that must be seen
    });
    forget();
    wasSignedOut.value = false;
}

// May this person do that, with these rights of the app or app-env?
export function may(rights: string[] | undefined, permission: string): boolean {
    return !!rights?.includes(permission);
}
