// Ctrl K: to any app, environment or page by some letters of its name.
import { useEffect, useRef, useState } from 'preact/hooks';
import { seg } from './api';
import { t, tName } from './i18n';
import { useResource } from './resource';
import { go } from './route';
import { may, me } from './session';
import { signal } from './signal';
import type { Overview } from './types';
import { Dialog } from './ui';

export const paletteOpen = signal(false);

interface Place {
    text: string;
    to: string;
}

function places(overview: Overview | undefined): Place[] {
    const list: Place[] = [{ text: t('nav.home'), to: '/' }, { text: t('settings.me'), to: '/me' }];
    if (me.value?.admin)
        list.push({ text: t('nav.journal'), to: '/journal' }, ...(['people', 'roles', 'system'] as const).map((part) => ({ text: part === 'system' ? t('settings.system') : t(part), to: `/settings/${part}` })));
    for (const row of overview?.items ?? []) {
        const base = `/apps/${seg(row.app)}`;
        list.push({ text: row.app, to: base }, { text: `${row.app} ${t('branches')}`, to: `${base}/branches` });
        for (const env of Object.keys(row.envs)) {
            const name = tName('stage', env);
            if (may(row.rights, 'deploy'))
                list.push({ text: `${row.app} ${name} ${t('app.submit')}`, to: `${base}/${seg(env)}/submit` });
            list.push({ text: `${row.app} ${name}`, to: `${base}/${seg(env)}` }, { text: `${row.app} ${name} ${t('logs')}`, to: `${base}/${seg(env)}/logs` }, { text: `${row.app} ${name} ${t('requests')}`, to: `${base}/${seg(env)}/requests` });
        }
    }
    return list;
}

const SHOWN = 12;

// All words typed must be in it; what begins with the first one comes first.
function matching(list: Place[], typed: string): Place[] {
    const wanted = typed.toLowerCase().split(/\s+/).filter(Boolean);
    const found = list.filter(({ text }) => wanted.every((word) => text.toLowerCase().includes(word)));
    const first = wanted[0] ?? '';
    return found.sort((a, b) => Number(!a.text.toLowerCase().startsWith(first)) - Number(!b.text.toLowerCase().startsWith(first)) || a.text.length - b.text.length).slice(0, SHOWN);
}

export function Palette() {
    const { data } = useResource<Overview>('/overview');
    const [typed, setTyped] = useState('');
    const [at, setAt] = useState(0);
    const input = useRef<HTMLInputElement>(null);
    useEffect(() => input.current!.focus(), []);
    const close = () => (paletteOpen.value = false);
    const found = matching(places(data), typed);
    const open = (place: Place | undefined) => {
        if (!place)
            return;
        close();
        go(place.to);
    };
    const onKey = (event: KeyboardEvent) => {
        if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
            event.preventDefault();
            setAt((at + (event.key === 'ArrowDown' ? 1 : found.length - 1)) % Math.max(found.length, 1));
        } else if (event.key === 'Enter') {
            event.preventDefault();
            open(found[at]);
        }
    };
    return (
        <Dialog title={t('nav.palette')} onClose={close}>
            <input ref={input} type="text" role="combobox" aria-expanded="true" aria-controls="places" aria-activedescendant={found[at] ? `place-${at}` : undefined}
                aria-label={t('palette.hint')} placeholder={t('palette.hint')} value={typed} onKeyDown={onKey}
                onInput={(event) => {
                    setTyped(event.currentTarget.value);
                    setAt(0);
                }} />
            <ul id="places" role="listbox" aria-label={t('palette.hint')} class="places">
                {found.map((place, i) => <li key={place.to} id={`place-${i}`} role="option" aria-selected={i === at} onPointerMove={() => setAt(i)} onClick={() => open(place)}>{place.text}</li>)}
            </ul>
            {found.length === 0 && <p class="dim">{t('palette.none')}</p>}
        </Dialog>
    );
}
