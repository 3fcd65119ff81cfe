// Output lines and request lines of an app-env: filtered by the server, followed live, scrolled back as far as is kept.
import { useEffect, useRef, useState } from 'preact/hooks';
import { pieces } from '../ansi';
import { api, ApiError, query, seg, stream, type StreamEvent } from '../api';
import { looked } from '../feed';
import { t, tName } from '../i18n';
import { mayPass, useResource } from '../resource';
import { address, param, setParam } from '../route';
import { useSignal } from '../signal';
import { clock, clockMs } from '../time';
import type { AppEnv } from '../types';
import { ErrorBox } from '../ui';
import { Lines, type LinesHandle } from '../virtual';

const FIRST = 1000;
const OLDER = 5000;
const AGAIN_MS = 2_000;
const LINES_MAX = 1_200_000; // beyond, the oldest go

interface Line {
    seq: number;
    at: number;
    instance: string;
    release: number;
    text?: string;
    stream?: string;
    method?: string;
    path?: string;
    status?: number;
    us?: number;
    bytes?: number;
    trace?: string;
}

interface State {
    lines: Line[]; // grows in place
    more: boolean; // there are older ones
    error?: ApiError;
    lost: string;
    stale: number | null; // since when nothing new can be had
}

// Newest lines, then what is written while the page is looked at; older ones when asked for. older() says how many came.
function useLines(base: string, filter: Record<string, string>): { state: State; older: () => Promise<number>; again: () => void } {
    const [state, setState] = useState<State>({ lines: [], more: false, lost: '', stale: null });
    const [begun, setBegun] = useState<Line[] | null>(null); // the list that is to be followed
    const [tries, setTries] = useState(0);
    const live = useSignal(looked);
    const key = JSON.stringify(filter);
    useEffect(() => {
        const own = new AbortController();
        let timer: ReturnType<typeof setTimeout> | undefined;
        setBegun(null);
        setState((before) => ({ ...before, lines: [], more: false, lost: '', stale: null }));
        api.get(`${base}${query({ ...filter, limit: FIRST })}`, own.signal).then((page) => {
            setState({ lines: page.lines, more: page.more, lost: '', stale: null });
            setBegun(page.lines);
        }, (error) => {
            if (own.signal.aborted || !(error instanceof ApiError))
                return;
            setState((before) => ({ ...before, error }));
            if (mayPass(error))
                timer = setTimeout(() => setTries((n) => n + 1), AGAIN_MS);
        });
        return () => {
            own.abort();
            clearTimeout(timer);
        };
    }, [base, key, tries]);
    useEffect(() => {
        if (!begun || !live || filter.before)
            return;
        const own = new AbortController();
        const take = (events: StreamEvent[]) => {
            for (const one of events)
                if (one.event === 'line')
                    begun.push(one.data as Line);
            const dropped = begun.length > LINES_MAX;
            if (dropped)
                begun.splice(0, begun.length - LINES_MAX + LINES_MAX / 5);
            const gap = events.find((one) => one.event === 'gap');
            setState((before) => ({
                ...before, error: undefined, stale: null, more: before.more || dropped,
                lost: gap ? (gap.data.lost ? t('lines.lost', { n: gap.data.lost }) : t('lines.lostSome')) : before.lost,
            }));
        };
        const follow = async () => {
            for (let wait = AGAIN_MS; !own.signal.aborted; wait = Math.min(wait * 2, 30_000)) {
                const after = begun.at(-1)?.seq;
                try {
                    await stream(`${base}${query({ ...filter, follow: 1, ...(after ? { after } : { limit: 100 }) })}`, own.signal, () => (wait = AGAIN_MS), take);
                } catch (error) {
                    if (own.signal.aborted)
                        return;
                    if (error instanceof ApiError && !mayPass(error)) {
                        setState((before) => ({ ...before, error }));
                        return;
                    }
                    const at = Date.now();
                    setState((before) => ({ ...before, stale: before.stale ?? at }));
                }
                await new Promise((done) => setTimeout(done, wait));
            }
        };
        void follow();
        return () => own.abort();
    }, [begun, live]);
    const shown = useRef(state.lines);
    shown.current = state.lines;
    const older = async () => {
        const list = shown.current;
        const page = await api.get(`${base}${query({ ...filter, before: list[0]?.seq, limit: OLDER })}`);
        if (list !== shown.current || !page.lines.length)
            return 0; // another filter meanwhile
        const next: Line[] = [...page.lines, ...list];
        setState((now) => (now.lines === list ? { ...now, lines: next, more: page.more } : now));
        setBegun((now) => (now === list ? next : now));
        return page.lines.length as number;
    };
    return { state, older, again: () => setTries((n) => n + 1) };
}

export function LinesPage({ app, env, kind }: { app: string; env: string; kind: 'logs' | 'requests' }) {
    const at = useSignal(address);
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const { data: ae } = useResource<AppEnv>(base, { concerns: (event) => event.app === app && event.env === env && event.topic === 'rollout', soon: 1000 });
    const [follow, setFollow] = useState(true);
    const [busy, setBusy] = useState(false);
    const filter: Record<string, string> = Object.fromEntries(['grep', 'instance', 'release'].map((name) => [name, param(at, name) ?? '']).filter(([, value]) => value));
    const until = param(at, 'until'); // a link to what was seen: those up to a line, and no newer ones
    if (until)
        filter.before = until;
    const view = useRef<LinesHandle>(null);
    const { state: { lines, more, error, lost, stale }, older, again } = useLines(`${base}/${kind}`, filter);
    const [olderError, setOlderError] = useState<ApiError>();
    const releases = [...new Set([...(ae?.instances.map((one) => one.release) ?? []), ...(ae?.targets ?? [])])].sort((a, b) => b - a);
    const loadOlder = async () => {
        setBusy(true);
        setFollow(false);
        setOlderError(undefined);
        const first = view.current?.shown() ?? 0;
        try {
            const came = await older();
            requestAnimationFrame(() => view.current?.show(first + came, 0)); // where one was
        } catch (failed) {
            if (failed instanceof ApiError)
                setOlderError(failed);
        }
        setBusy(false);
    };
    return (
        <div class="full">
            <div class="bar">
                <h1>{app} <span class="env-name">{tName('stage', env)}</span> {t(kind)}</h1>
                <input type="search" data-filter key={filter.grep ?? ''} defaultValue={filter.grep ?? ''} placeholder={t('lines.grep')} aria-label={t('lines.grep')} onChange={(event) => setParam('grep', event.currentTarget.value)} />
                <select aria-label={t('lines.instance')} value={filter.instance ?? ''} onChange={(event) => setParam('instance', event.currentTarget.value)}>
                    <option value="">{t('lines.instance')}: {t('all')}</option>{ae?.instances.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
                </select>
                <select aria-label={t('lines.release')} value={filter.release ?? ''} onChange={(event) => setParam('release', event.currentTarget.value)}>
                    <option value="">{t('lines.release')}: {t('all')}</option>{releases.map((number) => <option key={number} value={number}>r{number}</option>)}
                </select>
                <label class="inline"><input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />{t('lines.follow')}</label>
                {more && <button type="button" disabled={busy} aria-busy={busy} onClick={() => void loadOlder()}>{t('lines.older')}</button>}
                <span class="dim">{t('lines.count', { n: lines.length })}</span>
                {until && <button type="button" onClick={() => setParam('until', '')}>{t('lines.now')}</button>}
                {lines.length > 0 && <a href={`/apps/${seg(app)}/findings${query({ file: 1, env, link: `/apps/${app}/${env}/${kind}${query({ ...filter, before: null, until: lines.at(-1)!.seq + 1 })}` })}`}>{t('findings.file')}</a>}
                <a href={`/apps/${seg(app)}/${seg(env)}/${kind === 'logs' ? 'requests' : 'logs'}`}>{t(kind === 'logs' ? 'requests' : 'logs')}</a>
            </div>
            <ErrorBox error={error} retry={again} />
            <ErrorBox error={olderError} />
            {stale !== null && <p class="stale">{t('frame.stale', { at: clock(stale) })}</p>}
            {lost && <p class="box">{lost}</p>}
            {lines.length ? <Lines handle={view} count={lines.length} follow={follow} label={t(kind)} onScrollUp={() => setFollow(false)} line={(i) => <LineText line={lines[i]!} />} />
                : <p class="dim">{t(kind === 'logs' ? 'lines.empty' : 'lines.emptyRequests')}</p>}
        </div>
    );
}

function LineText({ line }: { line: Line }) {
    const head = <><span class="dim">{clockMs(line.at)} </span><span class="who">{line.instance || `r${line.release}`} </span></>;
    if (line.status === undefined)
        return <>{head}{line.stream === 'stderr' && <span class="ansi-yellow">! </span>}{pieces(line.text ?? '').map((piece, i) => <span key={i} class={piece.class}>{piece.text}</span>)}</>;
    const tone = line.status >= 500 || line.status < 0 ? 'ansi-red' : line.status >= 400 ? 'ansi-yellow' : 'ansi-green';
    return <>{head}<span class={tone}>{line.status}</span> <span class="number">{((line.us ?? 0) / 1000).toFixed(1)} ms</span> {line.method} {pieces(line.path ?? '').map((piece, i) => <span key={i}>{piece.text}</span>)}</>;
}
