// The output of a build, as it is written; and what its checks say.
import { useEffect, useRef, useState } from 'preact/hooks';
import { pieces, plain } from './ansi';
import { api, ApiError, seg } from './api';
import { onFeed, onMissed } from './feed';
import { t, tName } from './i18n';
import { mayPass } from './resource';
import type { Build, BuildStep } from './types';
import { Lines, type LinesHandle } from './virtual';
import { ErrorBox, State, StepLine } from './ui';

const RETRY_MS = 3_000;
const ERROR = /\b(error|failed|failure|fatal|exception|not ok)\b|错误|失败/i;

export function Checks({ build }: { build: Build }) {
    const checks = build.result?.checks ?? [];
    if (!checks.length)
        return null;
    return <ul class="chips">{checks.map((one) => <li key={one.name}><State name={one.ok ? 'done' : 'failed'} text={`${one.name}: ${t('rollout.check', { passed: one.passed, failed: one.failed, skipped: one.skipped })}`} /></li>)}</ul>;
}

// What the build did and does, one thing after the other, from the integration of its branches on.
export function BuildSteps({ build }: { build: Build }) {
    const name = (one: BuildStep) => one.kind === 'phase' ? tName('phase', one.step) : one.kind === 'check' ? t('build.check', { name: one.step }) : one.step;
    return (
        <ol class="steps live">
            {build.integrate_ms !== null && <StepLine state="done" text={t('phase.integrate')} from={0} to={build.integrate_ms} />}
            {build.steps.map((one) => <StepLine key={`${one.kind} ${one.step}`} state={one.state === 'running' ? 'doing' : one.state} text={name(one)} from={one.at} to={one.state === 'running' ? null : one.at + one.ms} />)}
        </ol>
    );
}

// Read from the beginning by offsets; an event says that there is more. `ended`: no event will come any more.
export function BuildOutput({ app, env, number, ended }: { app: string; env: string; number: number; ended: boolean }) {
    const path = `/apps/${seg(app)}/envs/${seg(env)}/builds/${number}/output`;
    const kept = useRef<string[]>([]); // grows in place; what is shown counts it
    const [, draw] = useState(0);
    const [error, setError] = useState<ApiError>();
    const [search, setSearch] = useState('');
    const [follow, setFollow] = useState(true);
    const view = useRef<LinesHandle>(null);
    const again = useRef(() => {});
    useEffect(() => {
        const own = new AbortController();
        const all: string[] = [];
        let offset = 0;
        let whole = true; // the last line of `all` is complete
        let busy = false;
        let wanted = false;
        let timer: ReturnType<typeof setTimeout> | undefined;
        kept.current = all;
        const soon = (ms: number) => {
            timer ??= setTimeout(() => {
                timer = undefined;
                void read();
            }, ms);
        };
        const add = (text: string) => {
            const split = text.split('\n');
            if (!whole)
                all[all.length - 1] += split.shift()!;
            whole = split.length > 0 ? split.at(-1) === '' : whole;
            if (whole)
                split.pop();
            for (const line of split)
                all.push(line);
        };
        const read = async () => {
            wanted = true;
            if (busy)
                return;
            busy = true;
            try {
                while (wanted && !own.signal.aborted) {
                    wanted = false;
                    const reply = await api.get(`${path}?offset=${offset}`, own.signal);
                    if (reply.text)
                        add(reply.text);
                    wanted ||= reply.next > offset && reply.next < reply.size;
                    offset = reply.next;
                    setError(undefined);
                    draw((n) => n + 1);
                }
            } catch (failed) {
                if (failed instanceof ApiError && !own.signal.aborted) {
                    // before its first line there is no output to be found
                    if (failed.status !== 404 || all.length || ended)
                        setError(failed);
                    if (mayPass(failed))
                        soon(RETRY_MS);
                }
            } finally {
                busy = false;
            }
        };
        again.current = () => void read();
        void read();
        const ends = [onFeed((event) => {
            if (event.app === app && event.env === env && (event.topic === 'output' || event.topic === 'build') && event.data.number === number)
                soon(100);
        }), onMissed(() => soon(0))];
        return () => {
            own.abort();
            clearTimeout(timer);
            for (const end of ends)
                end();
        };
    }, [path]);
    useEffect(() => again.current(), [ended]);
    const lines = kept.current;
    const find = (from: number, matches: (line: string) => boolean) => {
        for (let i = 0; i < lines.length; i++) {
            const at = (from + i) % lines.length;
            if (matches(plain(lines[at]!))) {
                setFollow(false);
                view.current?.show(at);
                return;
            }
        }
    };
    return (
        <>
            <div class="bar">
                <form role="search" onSubmit={(event) => {
                    event.preventDefault();
                    find((view.current?.shown() ?? -1) + 1, (line) => line.toLowerCase().includes(search.toLowerCase()));
                }}><input type="search" value={search} placeholder={t('rollout.search')} aria-label={t('rollout.search')} onInput={(event) => setSearch(event.currentTarget.value)} /></form>
                <button type="button" disabled={!lines.length} onClick={() => find(0, (line) => ERROR.test(line))}>{t('rollout.jump')}</button>
                <label class="inline"><input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />{t('lines.follow')}</label>
                <span class="dim">{t('lines.count', { n: lines.length })}</span>
            </div>
            <ErrorBox error={error} retry={() => again.current()} />
            {lines.length ? <Lines handle={view} count={lines.length} follow={follow} label={t('rollout.output')} onScrollUp={() => setFollow(false)}
                line={(i) => pieces(lines[i]!).map((piece, k) => <span key={k} class={piece.class}>{piece.text}</span>)} marked={(i) => !!search && plain(lines[i]!).toLowerCase().includes(search.toLowerCase())} /> : <p class="dim">{t('rollout.noOutput')}</p>}
        </>
    );
}
