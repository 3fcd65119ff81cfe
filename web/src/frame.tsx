// Around every page: where one is, who one is, whether what one sees is live.
import { useEffect, useRef, useState } from 'preact/hooks';
import { staleSince } from './feed';
import { lang, setLang, t } from './i18n';
import { Palette, paletteOpen } from './palette';
import { AppPage } from './pages/app';
import { BranchesPage } from './pages/branches';
import { BuildPage } from './pages/build';
import { ConflictsPage } from './pages/conflicts';
import { EnvPage } from './pages/env';
import { FindingsPage } from './pages/findings';
import { HomePage } from './pages/home';
import { JournalPage } from './pages/journal';
import { LinesPage } from './pages/lines';
import { LoginPage, SetupPage } from './pages/login';
import { MePage } from './pages/me';
import { RolloutPage } from './pages/rollout';
import { SettingsPage } from './pages/settings';
import { SubmitPage } from './pages/submit';
import { failing } from './resource';
import { address, parts } from './route';
import { me, signOut, unknown } from './session';
import { useSignal } from './signal';
import { setTheme, theme, type Theme } from './theme';
import { clock } from './time';
import { Act, Asked, askForget, Empty, ErrorBox, Loading } from './ui';

export function Root() {
    const who = useSignal(me);
    const at = parts(useSignal(address));
    useSignal(lang); // all words change with it
    const why = useSignal(unknown);
    if (at[0] === 'setup')
        return <SetupPage link={at[1] ?? ''} />;
    if (who === undefined)
        return <main>{why ? <ErrorBox error={why} /> : <Loading />}</main>;
    if (who === null)
        return <LoginPage />;
    return <Frame />;
}

function page(at: string[]) {
    const [first, app, second, third, number] = at;
    if (!first)
        return <HomePage />;
    if (first === 'journal')
        return <JournalPage />;
    if (first === 'settings')
        return <SettingsPage part={app ?? 'people'} />;
    if (first === 'me')
        return <MePage />;
    if (first !== 'apps' || !app)
        return <NotFound />;
    const key = at.join('/');
    if (!second)
        return <AppPage key={key} app={app} />;
    if (second === 'branches')
        return <BranchesPage key={key} app={app} />;
    if (second === 'findings')
        return <FindingsPage key={key} app={app} />;
    const env = second;
    switch (third) {
        case undefined: return <EnvPage key={key} app={app} env={env} />;
        case 'submit': return <SubmitPage key={key} app={app} env={env} />;
        case 'rollouts': return <RolloutPage key={key} app={app} env={env} id={Number(number)} />;
        case 'builds': return <BuildPage key={key} app={app} env={env} number={Number(number)} />;
        case 'conflicts': return <ConflictsPage key={key} app={app} env={env} />;
        case 'logs':
        case 'requests': return <LinesPage key={key} app={app} env={env} kind={third} />;
        default: return <NotFound />;
    }
}

function NotFound() {
    return <Empty title={t('frame.notFound')}><p class="dim">{t('frame.notFoundNext')}</p><p><a href="/">{t('frame.toHome')}</a></p></Empty>;
}

// "shop / dev / Submit": each part is a link.
function Trail({ at }: { at: string[] }) {
    if (at[0] !== 'apps' || !at[1])
        return null;
    const [, app, second, third, number] = at;
    const trail: [string, string][] = [[app!, `/apps/${encodeURIComponent(app!)}`]];
    if (second)
        trail.push([second === 'branches' || second === 'findings' ? t(second) : second, `${trail[0]![1]}/${encodeURIComponent(second)}`]);
    if (third) {
        const name = { submit: t('app.submit'), rollouts: `${t('rollout')} ${number}`, builds: `${t('build')} b${number}`, conflicts: t('facts.title'), logs: t('logs'), requests: t('requests') }[third];
        trail.push([name ?? third, location.pathname]);
    }
    return (
        <nav aria-label={t('nav.path')} class="trail">
            {trail.map(([text, to], i) => <span key={to}><span class="dim"> / </span><a href={to} aria-current={i === trail.length - 1 ? 'page' : undefined}>{text}</a></span>)}
        </nav>
    );
}

function Frame() {
    const at = parts(useSignal(address));
    const who = useSignal(me)!;
    const palette = useSignal(paletteOpen);
    const path = at.join(' / ');
    const first = useRef(true);
    useEffect(() => {
        document.title = path ? `${path} · Slipway` : 'Slipway';
        askForget();
        if (!first.current)
            document.getElementById('main')?.focus({ preventScroll: true });
        first.current = false;
    }, [path]);
    useEffect(() => askForget, []);
    useEffect(() => {
        const onKey = (event: KeyboardEvent) => {
            if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
                event.preventDefault();
                paletteOpen.value = !paletteOpen.value;
            } else if (event.key === '/' && !(event.target as Element).closest('input, textarea, select, dialog')) {
                const filter = document.querySelector<HTMLInputElement>('input[data-filter]');
                if (filter) {
                    event.preventDefault();
                    filter.focus();
                }
            }
        };
        addEventListener('keydown', onKey);
        return () => removeEventListener('keydown', onKey);
    }, []);
    return (
        <>
            <a class="skip" href="#main">{t('nav.skip')}</a>
            <header class="top">
                <nav aria-label={t('nav.main')}>
                    <a class="brand" href="/"><img src="/icon.svg" alt="" width="22" height="22" />Slipway</a>
                    <Trail at={at} />
                </nav>
                <span class="grow" />
                <button type="button" class="quiet" onClick={() => (paletteOpen.value = true)}>{t('nav.palette')}</button>
                {who.admin && <a href="/journal">{t('nav.journal')}</a>}
                {who.admin && <a href="/settings/people">{t('nav.settings')}</a>}
                <Account name={who.name} />
            </header>
            <Stale />
            <main id="main" tabIndex={-1}>{page(at)}</main>
            <Asked />
            {palette && <Palette />}
        </>
    );
}

// Away from the feed, or from something on the page that cannot be asked for again right now.
function Stale() {
    const stream = useSignal(staleSince);
    const asked = useSignal(failing);
    const since = Math.min(stream ?? Infinity, ...asked.values());
    return <div aria-live="polite">{since !== Infinity && <div class="stale">{t('frame.stale', { at: clock(since) })}</div>}</div>;
}

function Account({ name }: { name: string }) {
    const [open, setOpen] = useState(false);
    const chosen = useSignal(theme);
    useEffect(() => {
        if (!open)
            return;
        const onDown = (event: Event) => !(event.target as Element).closest('.account') && setOpen(false);
        const onKey = (event: KeyboardEvent) => event.key === 'Escape' && setOpen(false);
        addEventListener('pointerdown', onDown);
        addEventListener('keydown', onKey);
        return () => {
            removeEventListener('pointerdown', onDown);
            removeEventListener('keydown', onKey);
        };
    }, [open]);
    return (
        <div class="account">
            <button type="button" class="quiet" aria-expanded={open} aria-label={`${t('nav.menu')}: ${name}`} onClick={() => setOpen(!open)}>{name} ▾</button>
            {open && (
                <div class="menu">
                    <a href="/me" onClick={() => setOpen(false)}>{t('settings.me')}</a>
                    <LangSwitch />
                    <div class="choice" role="group" aria-label={t('nav.menu')}>
                        {(['auto', 'light', 'dark'] as Theme[]).map((one) => <button type="button" key={one} aria-pressed={chosen === one} onClick={() => setTheme(one)}>{t(`theme.${one}`)}</button>)}
                    </div>
                    <Act act={signOut}>{t('login.out')}</Act>
                </div>
            )}
        </div>
    );
}

export function LangSwitch() {
    const chosen = useSignal(lang);
    return (
        <div class="choice" role="group" aria-label="Language / 语言">
            <button type="button" lang="zh-CN" aria-pressed={chosen === 'zh-CN'} onClick={() => setLang('zh-CN')}>中文</button>
            <button type="button" lang="en" aria-pressed={chosen === 'en'} onClick={() => setLang('en')}>English</button>
        </div>
    );
}
