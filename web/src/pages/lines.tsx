// Output lines and request lines of an app-env: filtered by the server, followed live, scrolled back as far as is kept.
import { useEffect, useRef, useState } from 'preact/hooks';
import { pieces } from '../ansi';
import { api, ApiError, query, seg, stream, type StreamEvent } from '../api';
import { looked } from '../feed';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { useSignal } from '../signal';
import { clockMs } from '../time';
import type { AppEnv } from '../types';
import { ErrorBox } from '../ui';
import { Lines } from '../virtual';

const FIRST = 1000;
const OLDER = 5000;
const AGAIN_MS = 2_000;

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
    lines: Line[];
    more: boolean; // there are older ones
    error?: ApiError;
    lost: string;
}

// Newest lines, then what is written while the page is looked at; older ones when asked for.
function useLines(base: string, filter: Record<string, string>): [State, () => Promise<void>] {
    const [state, setState] = useState<State>({ lines: [], more: false, lost: '' });
    const [begun, setBegun] = useState(0); // how often a first page came
    const live = useSignal(looked);
    const key = JSON.stringify(filter);
    const lines = useRef<Line[]>([]);
    useEffect(() => {
        const own = new AbortController();
        lines.current = [];
        setState({ lines: [], more: false, lost: '' });
        setBegun(0);
        api.get(`${base}${query({ ...filter, limit: FIRST })}`, own.signal).then((page) => {
            lines.current = page.lines;
            setState({ lines: page.lines, more: page.more, lost: '' });
            setBegun((n) => n + 1);
        }, (error) => {
            if (!own.signal.aborted && error instanceof ApiError)
                setState((before) => ({ ...before, error }));
        });
        return () => own.abort();
    }, [base, key]);
    useEffect(() => {
        const own = new AbortController();
        const take = (events: StreamEvent[]) => {
            const fresh = events.filter((one) => one.event === 'line').map((one) => one.data as Line);
            const gap = events.find((one) => one.event === 'gap');
            if (!fresh.length && !gap)
                return;
            lines.current = lines.current.concat(fresh);
            setState((before) => ({ ...before, lines: lines.current, error: undefined, lost: gap ? (gap.data.lost ? t('lines.lost', { n: gap.data.lost }) : t('lines.lostSome')) : before.lost }));
        };
        const follow = async () => {
            while (begun && live && !own.signal.aborted) {
                const after = lines.current.at(-1)?.seq;
                // cut or refused: taken up again from the last line
                await stream(`${base}${query({ ...filter, follow: 1, ...(after ? { after } : { limit: 100 }) })}`, own.signal, () => {}, take).catch(() => {});
                await new Promise((done) => setTimeout(done, AGAIN_MS));
            }
        };
        void follow();
        return () => own.abort();
    }, [base, key, begun, live]);
    const older = async () => {
        const before = lines.current[0]?.seq;
        if (!before)
            return;
        const page = await api.get(`${base}${query({ ...filter, before, limit: OLDER })}`);
        lines.current = [...page.lines, ...lines.current];
        setState((now) => ({ ...now, lines: lines.current, more: page.more }));
    };
    return [state, older];
}

export function LinesPage({ app, env, kind }: { app: string; env: string; kind: 'logs' | 'requests' }) {
    const at = useSignal(address);
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const { data: ae } = useResource<AppEnv>(base, { concerns: (event) => event.app === app && event.env === env && event.topic === 'rollout', soon: 1000 });
    const [follow, setFollow] = useState(true);
    const [busy, setBusy] = useState(false);
    const filter = Object.fromEntries(['grep', 'instance', 'release'].map((name) => [name, param(at, name) ?? '']).filter(([, value]) => value));
    const [{ lines, more, error, lost }, older] = useLines(`${base}/${kind}`, filter);
    const releases = [...new Set([...(ae?.instances.map((one) => one.release) ?? []), ...(ae?.targets ?? [])])].sort((a, b) => b - a);
    const loadOlder = async () => {
        setBusy(true);
        setFollow(false);
        await older().catch(() => {});
        setBusy(false);
    };
    return (
        <div class="full">
            <div class="bar">
                <h1>{app} <span class="env-name">{tName('env', env)}</span> {t(kind)}</h1>
                <input type="search" data-filter value={filter.grep ?? ''} placeholder={t('lines.grep')} aria-label={t('lines.grep')} onChange={(event) => setParam('grep', event.currentTarget.value)} />
                <select aria-label={t('lines.instance')} value={filter.instance ?? ''} onChange={(event) => setParam('instance', event.currentTarget.value)}>
                    <option value="">{t('lines.instance')}: {t('all')}</option>{ae?.instances.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
                </select>
                <select aria-label={t('lines.release')} value={filter.release ?? ''} onChange={(event) => setParam('release', event.currentTarget.value)}>
                    <option value="">{t('lines.release')}: {t('all')}</option>{releases.map((number) => <option key={number} value={number}>r{number}</option>)}
                </select>
                <label class="inline"><input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />{t('lines.follow')}</label>
                {more && <button type="button" disabled={busy} aria-busy={busy} onClick={() => void loadOlder()}>{t('lines.older')}</button>}
                <span class="dim">{t('lines.count', { n: lines.length })}</span>
                <a href={`/apps/${seg(app)}/${seg(env)}/${kind === 'logs' ? 'requests' : 'logs'}`}>{t(kind === 'logs' ? 'requests' : 'logs')}</a>
            </div>
            <ErrorBox error={error} />
            {lost && <p class="box">{lost}</p>}
            {lines.length ? <Lines count={lines.length} follow={follow} label={t(kind)} onScrollUp={() => setFollow(false)} line={(i) => <LineText line={lines[i]!} />} />
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
