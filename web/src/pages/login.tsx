import { useState } from 'preact/hooks';
import { ApiError } from '../api';
import { LangSwitch } from '../frame';
import { t } from '../i18n';
import { useResource } from '../resource';
import { go } from '../route';
import { setUp, signIn, wasSignedOut } from '../session';
import { useSignal } from '../signal';
import { Field, Form } from '../ui';
import type { ComponentChildren } from 'preact';

function Door({ title, children }: { title: string; children: ComponentChildren }) {
    return (
        <main class="door" id="main">
            <div class="door-head"><img src="/icon.svg" alt="" width="36" height="36" /><LangSwitch /></div>
            <h1>{title}</h1>
            {children}
        </main>
    );
}

export function LoginPage() {
    const out = useSignal(wasSignedOut);
    const { data: version } = useResource<{ setup: boolean }>('/version');
    return (
        <Door title={t('login.title')}>
            {out && <p class="box">{t('login.again')}</p>}
            {version?.setup && <p class="box">{t('login.setupOpen')}</p>}
            <Form go={t('login.go')} act={({ name, password }) => signIn(name!.trim(), password!)}>
                <Field label={t('login.name')}><input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus /></Field>
                <Field label={t('login.password')}><input name="password" type="password" autocomplete="current-password" required /></Field>
            </Form>
            <p class="dim">{t('login.forgot')}</p>
        </Door>
    );
}

// The link is taken out of the address at once: it shall not stay in the history of the browser.
export function SetupPage({ link }: { link: string }) {
    const [secret] = useState(() => {
        history.replaceState(null, '', '/setup');
        return link;
    });
    const [gone, setGone] = useState(!secret);
    const begin = async ({ name, password }: Record<string, string>) => {
        try {
            await setUp(secret, name!.trim(), password!);
            go('/', true);
        } catch (error) {
            if (error instanceof ApiError && error.status === 410)
                setGone(true);
            throw error;
        }
    };
    return (
        <Door title={t('setup.title')}>
            {gone ? <p class="box bad" role="alert">{t('setup.gone')} <a href="/">{t('login.go')}</a></p> : <p>{t('setup.intro')}</p>}
            {!gone && (
                <Form go={t('setup.go')} act={begin}>
                    <Field label={t('login.name')} hint={t('setup.nameHint')}><input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} pattern="[a-z][a-z0-9\-]*" maxLength={40} autofocus /></Field>
                    <Field label={t('login.password')} hint={t('setup.passwordHint')}><input name="password" type="password" autocomplete="new-password" minLength={8} required /></Field>
                </Form>
            )}
        </Door>
    );
}
