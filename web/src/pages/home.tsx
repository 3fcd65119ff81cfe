// All apps and environments in one grid, what is mine above it.
import { useMemo, useRef, useState } from 'preact/hooks';
import { api, query, seg } from '../api';
import { ProjectOptions } from '../forges';
import { t, tName } from '../i18n';
import { memo } from '../memo';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { may, me } from '../session';
import { shell } from '../shell';
import { useSignal } from '../signal';
import { Spark } from '../spark';
import { duration } from '../time';
import { useTraffic, type Traffic } from '../traffic';
import type { Cell, Finding, Overview, OverviewRow, Page } from '../types';
import { Age, Copy, Dialog, Empty, envTone, ErrorBox, Field, Form, Loading, State } from '../ui';

const FAVOURITES = 'slipway.favourites';
const RELOAD_MS = 1_500; // events of a busy platform come by the hundred: the grid is asked for at most so often

function favouritesKept(): Set<string> {
    try {
        return new Set(JSON.parse(localStorage.getItem(FAVOURITES) ?? '[]'));
    } catch {
        return new Set();
    }
}

// Rows that say the same stay the same objects, so that only what changed is drawn.
function useSteadyRows(data: Overview | undefined): OverviewRow[] {
    const kept = useRef(new Map<string, { text: string; row: OverviewRow }>());
    return useMemo(() => {
        const next = new Map<string, { text: string; row: OverviewRow }>();
        for (const row of data?.items ?? []) {
            const text = JSON.stringify(row);
            const before = kept.current.get(row.app);
            next.set(row.app, before?.text === text ? before : { text, row });
        }
        kept.current = next;
        return [...next.values()].map(({ row }) => row);
    }, [data]);
}

export function HomePage() {
    const { data, error, reload } = useResource<Overview>('/overview', { concerns: (event) => event.topic !== 'output', soon: RELOAD_MS });
    const rows = useSteadyRows(data);
    const traffic = useTraffic();
    const [favourites, setFavourites] = useState(favouritesKept);
    const [making, setMaking] = useState(false);
    const at = useSignal(address);
    const who = useSignal(me)!;
    const filter = (param(at, 'q') ?? '').toLowerCase();
    const show = param(at, 'show');
    const toggle = useRef((app: string) => setFavourites((before) => {
        const next = new Set(before);
        if (!next.delete(app))
            next.add(app);
        localStorage.setItem(FAVOURITES, JSON.stringify([...next]));
        return next;
    }));
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const mayMake = may(who.rights, 'app');
    const shown = rows.filter((row) => row.app.includes(filter) && (show !== 'favourites' || favourites.has(row.app)) && (show !== 'moving' || Object.values(row.envs).some((cell) => cell.rollout)));
    const sorted = [...shown].sort((a, b) => Number(favourites.has(b.app)) - Number(favourites.has(a.app)));
    return (
        <>
            <h1 class="hidden">{t('nav.home')}</h1>
            <div class="home-top"><Mine rows={rows} name={who.name} /><Figures /></div>
            <div class="bar">
                <input type="search" data-filter value={param(at, 'q') ?? ''} placeholder={t('home.filterHint')} aria-label={t('home.filterHint')} onInput={(event) => setParam('q', event.currentTarget.value)} />
                <div class="choice" role="group" aria-label={t('filter')}>
                    {[['', t('all')], ['favourites', t('home.onlyFavourites')], ['moving', t('home.onlyMoving')]].map(([key, text]) =>
                        <button type="button" key={key} aria-pressed={(show ?? '') === key} onClick={() => setParam('show', key!)}>{text}</button>)}
                </div>
                <span class="dim">{t('home.count', { n: shown.length })}</span>
                <span class="grow" />
                {mayMake && <button type="button" class="primary" onClick={() => setMaking(true)}>{t('home.newApp')}</button>}
            </div>
            {data.items.length === 0 ? (
                <Empty title={t('home.emptyTitle')}><p class="dim">{mayMake ? t('home.emptyNext') : t('home.emptyViewer')}</p></Empty>
            ) : shown.length === 0 ? <Empty title={t('home.noMatch')} /> : (
                <div class="scroll">
                    <table class="grid">
                        <thead><tr><th scope="col">{t('app')}</th>{data.envs.map((env, i) => <th scope="col" key={env.name} class={envTone(i, data.envs.length)}>{tName('stage', env.name)}</th>)}</tr></thead>
                        <tbody>
                            {sorted.map((row) => <Row key={row.app} row={row} envs={data.envs} traffic={traffic} favourite={favourites.has(row.app)} toggle={toggle.current} />)}
                        </tbody>
                    </table>
                </div>
            )}
            {making && <NewApp onClose={() => setMaking(false)} />}
        </>
    );
}

const Row = memo(function Row({ row, envs, traffic, favourite, toggle }: {
    row: OverviewRow; envs: Overview['envs']; traffic: Map<string, Traffic>; favourite: boolean; toggle: (app: string) => void;
}) {
    return (
        <tr>
            <th scope="row">
                <button type="button" class={`star${favourite ? ' on' : ''}`} aria-pressed={favourite} aria-label={`${t('home.favourite')}: ${row.app}`} onClick={() => toggle(row.app)}>{favourite ? '★' : '☆'}</button>
                <a href={`/apps/${seg(row.app)}`}>{row.app}</a>
            </th>
            {envs.map((env) => <GridCell key={env.name} app={row.app} env={env.name} cell={row.envs[env.name]} traffic={traffic.get(`${row.app}.${env.name}`)} />)}
        </tr>
    );
});

const GridCell = memo(function GridCell({ app, env, cell, traffic }: { app: string; env: string; cell: Cell | undefined; traffic: Traffic | undefined }) {
    if (!cell)
        return <td class="dim">–</td>;
    const to = `/apps/${seg(app)}/${seg(env)}`;
    const { instances, rollout, last } = cell;
    const sick = (instances.unhealthy ?? 0) > 0;
    return (
        <td class={sick ? 'sick' : ''}>
            <a class="cell" href={to}>
                <span class="line">
                    {cell.release ? <b>r{cell.release}</b> : <span class="dim">{t('home.nothing')}</span>}
                    {cell.bad && <State name="failed" text={t('env.bad')} />}
                    {cell.release > 0 && <span class={`dot ${sick ? 'bad' : instances.serving ? 'good' : 'calm'}`} title={t('home.serving', { n: instances.serving, of: instances.total })} />}
                    {cell.release > 0 && <span class="dim">{instances.serving}/{instances.total}</span>}
                    {!rollout && last && last.state !== 'done' && <State name={last.state} text={tName('rollout', last.state)} />}
                </span>
                <span class="line dim">{cell.at ? <Age at={cell.at} /> : null}{cell.by ? <span>{cell.by}</span> : null}</span>
                {traffic && <span class="line"><Spark points={traffic.points} label={t('perSecond', { n: traffic.perSecond.toFixed(1) })} /><span class="dim">{t('perSecond', { n: traffic.perSecond < 10 ? traffic.perSecond.toFixed(1) : Math.round(traffic.perSecond) })}</span></span>}
            </a>
            {rollout && (
                <a class="moving" href={`${to}/rollouts/${rollout.id}`}>
                    <progress max={rollout.steps || 1} value={rollout.step} aria-label={`${tName('kind', rollout.kind)} r${rollout.release}`} />
                    <span>{tName('kind', rollout.kind)} r{rollout.release} · {rollout.step}/{rollout.steps} · {rollout.by}</span>
                </a>
            )}
        </td>
    );
});

interface MineReply {
    branches: { app: string; branch: string; at: number; envs: string[]; out: string[] }[]; // out: the envs where it conflicts
}

// What I began and is not over, or went wrong and nobody has begun anything since.
function waiting(rows: OverviewRow[], name: string): { key: string; to: string; app: string; text: string }[] {
    return rows.flatMap((row) => Object.entries(row.envs).flatMap(([env, cell]) => {
        const one = cell.rollout ?? cell.last;
        if (!one || one.by !== name || (!cell.rollout && one.state === 'done'))
            return [];
        const what = `${tName('kind', one.kind)} r${one.release}`;
        const text = cell.rollout ? t('home.inFlight', { what, env: tName('stage', env) }) : t('home.wentWrong', { what, env: tName('stage', env), state: tName('rollout', one.state) });
        return [{ key: `${row.app} ${env}`, to: `/apps/${seg(row.app)}/${seg(env)}/rollouts/${one.id}`, app: row.app, text }];
    }));
}

// A branch of mine is kept out: somebody has to talk to somebody.
function leftOut(branches: MineReply['branches']): { key: string; to: string; app: string; text: string }[] {
    return branches.flatMap((one) => one.out.map((env) => ({ key: `${one.app} ${one.branch} ${env}`, to: `/apps/${seg(one.app)}/${seg(env)}/conflicts`, app: one.app, text: t('home.leftOut', { branch: one.branch, env: tName('stage', env) }) })));
}

// What I filed and may be tried again, and what is found wrong with branches of mine.
function toDo(findings: Finding[], branches: MineReply['branches'], name: string): { key: string; to: string; app: string; text: string }[] {
    const own = new Set(branches.map((one) => `${one.app} ${one.branch}`));
    return findings.filter((one) => (one.by === name && one.waits === 'retest') || (one.waits === 'fix' && one.branch && own.has(`${one.app} ${one.branch}`)))
        .map((one) => ({ key: `${one.app} #${one.number}`, to: `/apps/${seg(one.app)}/findings${query({ branch: one.waits === 'fix' ? one.branch : null })}`, app: one.app, text: t(one.waits === 'fix' ? 'home.toFix' : 'home.toRetest', { n: one.number, title: one.title }) }));
}

function Mine({ rows, name }: { rows: OverviewRow[]; name: string }) {
    const [all, setAll] = useState(false);
    const { data } = useResource<MineReply>('/mine', { concerns: (event) => ['repo', 'rollout', 'facts'].includes(event.topic), soon: RELOAD_MS });
    const findings = useResource<Page<Finding>>('/findings?state=unclosed&limit=200', { concerns: (event) => event.topic === 'finding' || event.topic === 'rollout', soon: RELOAD_MS });
    const waits = [...leftOut(data?.branches ?? []), ...toDo(findings.data?.items ?? [], data?.branches ?? [], name), ...waiting(rows, name)];
    return (
        <section class="card" aria-labelledby="mine">
            <h2 id="mine">{t('home.mine')}</h2>
            {waits.length > 0 && <><h3>{t('home.waiting')}</h3><ul class="mine">{waits.map((one) => <li key={one.key}><a href={one.to}><span class="dim">{one.app}</span> {one.text}</a></li>)}</ul></>}
            {data && data.branches.length === 0 && <p class="dim">{t('home.mineEmpty')}</p>}
            <ul class="mine">
                {data?.branches.slice(0, all ? undefined : 8).map(({ app, branch, at, envs }) => (
                    <li key={`${app} ${branch}`}>
                        <a href={`/apps/${seg(app)}/branches?q=${seg(branch)}`}><span class="dim">{app}</span> {branch}</a>
                        <span class="grow" />
                        {envs.length ? envs.map((env) => <span class="chip" key={env}>{env}</span>) : <span class="dim">{t('home.tickedNowhere')}</span>}
                        <span class="dim"><Age at={at} /></span>
                    </li>
                ))}
            </ul>
            {data && data.branches.length > 8 && !all && <button type="button" class="small" onClick={() => setAll(true)}>{t('more')}</button>}
        </section>
    );
}

interface FiguresReply {
    days: number;
    env: string;
    deploys: number;
    deploys_per_day: number;
    lead_time_ms: number | null;
    failed_share: number | null;
    restore_ms: number | null;
}

function Figures() {
    const { data } = useResource<FiguresReply>('/figures?days=30', { every: 300_000, concerns: (event) => event.topic === 'rollout' && event.data.state !== 'running', soon: 10_000 });
    if (!data)
        return null;
    const none = t('home.noFigure');
    const figures: [string, string][] = [
        [t('home.leadTime'), data.lead_time_ms === null ? none : duration(data.lead_time_ms)],
        [t('home.deploys'), data.deploys ? data.deploys_per_day.toFixed(data.deploys_per_day < 1 ? 2 : 1) : none],
        [t('home.failedShare'), data.failed_share === null ? none : `${(data.failed_share * 100).toFixed(0)} %`],
        [t('home.restore'), data.restore_ms === null ? '–' : duration(data.restore_ms)],
    ];
    return (
        <section class="card" aria-labelledby="figures">
            <h2 id="figures">{t('home.figures', { days: data.days, env: tName('stage', data.env) })}</h2>
            <dl class="figures">{figures.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
        </section>
    );
}

function NewApp({ onClose }: { onClose: () => void }) {
    const [made, setMade] = useState<{ name: string; git: string; origin?: object }>();
    const trunk = useRef('main');
    if (made)
        return (
            <Dialog title={made.name} onClose={onClose}>
                {made.origin ? <p>{t('newApp.follows')}</p> : <><p>{t('newApp.done')}</p><p><Copy text={shell`git push ${made.git} ${trunk.current}`} /></p></>}
                <div class="buttons"><a class="button primary" href={`/apps/${seg(made.name)}`}>{made.name}</a><button type="button" onClick={onClose}>{t('close')}</button></div>
            </Dialog>
        );
    return (
        <Dialog title={t('home.newApp')} onClose={onClose}>
            <p>{t('newApp.says')}</p>
            <Form go={t('home.newApp')} act={async ({ name, trunk: line, url }) => {
                trunk.current = line || 'main';
                setMade(await api.post('/apps', url ? { name, url, ...(line ? { trunk: line } : {}) } : { name, trunk: trunk.current }));
            }}>
                <Field label={t('name')} hint={t('newApp.nameHint')}><input name="name" pattern="[a-z][a-z0-9\-]*" maxLength={40} required autofocus spellcheck={false} /></Field>
                <Field label={t('trunk')}><input name="trunk" placeholder="main" spellcheck={false} /></Field>
                <Field label={t('newApp.url')} hint={t('newApp.urlHint')}><input name="url" list="newapp-projects" placeholder="https://gitlab.example.com/team/shop.git" spellcheck={false} /></Field>
                <ProjectOptions id="newapp-projects" />
            </Form>
        </Dialog>
    );
}
