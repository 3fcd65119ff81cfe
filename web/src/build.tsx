// The output of a build, as it is written; and what its checks say.
import { useEffect, useRef, useState } from 'preact/hooks';
import { pieces, plain } from './ansi';
import { api, seg } from './api';
import { onFeed, onMissed } from './feed';
import { t } from './i18n';
import { duration } from './time';
import type { Build } from './types';
import { Lines, type LinesHandle } from './virtual';
import { State } from './ui';

const LINES_MAX = 2_000_000; // host keeps 8 MiB of a build's output
const ERROR = /\b(error|failed|failure|fatal|exception|not ok)\b|错误|失败/i;

export function Checks({ build }: { build: Build }) {
    const checks = (build as any).result?.checks ?? build.checks ?? [];
    if (!checks.length)
        return null;
    return <ul class="chips">{checks.map((one: any) => <li key={one.name}><State name={one.ok ? 'done' : 'failed'} text={`${one.name}: ${t('rollout.check', { passed: one.passed, failed: one.failed, skipped: one.skipped })}`} /></li>)}</ul>;
}

interface BuildStep {
    name: string;
    state: string;
    ms: number | null;
}

// What the build does now, step by step, while one looks on.
export function BuildSteps({ app, env, number }: { app: string; env: string; number: number }) {
    const [steps, setSteps] = useState<BuildStep[]>([]);
    useEffect(() => onFeed((event) => {
        if (event.topic !== 'build' || event.app !== app || event.env !== env || event.data.number !== number || event.data.event !== 'step')
            return;
        const { step: name, state, ms } = event.data;
        setSteps((before) => [...before.filter((one) => one.name !== name), { name, state, ms: ms ?? null }]);
    }), [app, env, number]);
    if (!steps.length)
        return null;
    return <ul class="chips">{steps.map((one) => <li key={one.name}><State name={one.state} text={one.ms === null ? one.name : `${one.name} ${duration(one.ms)}`} /></li>)}</ul>;
}

// Read from the beginning by offsets; an event says that there is more.
export function BuildOutput({ app, env, number, ended }: { app: string; env: string; number: number; ended: boolean }) {
    const path = `/apps/${seg(app)}/envs/${seg(env)}/builds/${number}/output`;
    const [lines, setLines] = useState<string[]>([]);
    const [search, setSearch] = useState('');
    const [follow, setFollow] = useState(true);
    const view = useRef<LinesHandle>(null);
    useEffect(() => {
        const own = new AbortController();
        let offset = 0;
        let rest = '';
        let all: string[] = [];
        let busy = false;
        let wanted = false;
        const read = async () => {
            if (busy) {
                wanted = true;
                return;
            }
            busy = true;
            try {
                do {
                    wanted = false;
                    const reply = await api.get(`${path}?offset=${offset}`, own.signal);
                    if (reply.text) {
                        const split = (rest + reply.text).split('\n');
                        rest = split.pop()!;
                        all = all.concat(split).slice(-LINES_MAX);
                        setLines(rest ? [...all, rest] : all);
                    }
                    const more = reply.next > offset && !reply.end && reply.next < reply.size;
                    offset = reply.next;
                    wanted ||= more;
                } while (wanted && !own.signal.aborted);
            } catch {
                // not there yet, or host is away: the next event asks again
            } finally {
                busy = false;
            }
        };
        void read();
        let timer: ReturnType<typeof setTimeout> | undefined;
        const soon = () => {
            timer ??= setTimeout(() => {
                timer = undefined;
                void read();
            }, 100);
        };
        const ends = [onFeed((event) => {
            if (event.app === app && event.env === env && (event.topic === 'output' || event.topic === 'build') && event.data.number === number)
                soon();
        }), onMissed(soon)];
        return () => {
            own.abort();
            clearTimeout(timer);
            for (const end of ends)
                end();
        };
    }, [path, ended]);
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
            {lines.length ? <Lines ref={view} count={lines.length} follow={follow} label={t('rollout.output')} onScrollUp={() => setFollow(false)}
                line={(i) => pieces(lines[i]!).map((piece, k) => <span key={k} class={piece.class}>{piece.text}</span>)} marked={(i) => !!search && plain(lines[i]!).toLowerCase().includes(search.toLowerCase())} /> : <p class="dim">{t('rollout.noOutput')}</p>}
        </>
    );
}
