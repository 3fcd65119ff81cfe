// 提交发布: tick, see whether it merges and what will happen, then let it happen. Conflicts are said while ticking.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, ApiError, query, seg } from '../api';
import { FactsOutList, touched } from '../facts';
import { t, tName } from '../i18n';
import { stepText } from '../plan';
import { mayPass, useResource } from '../resource';
import { go } from '../route';
import { may } from '../session';
import type { AppEnv, Branch, Branches, Env, Facts, Page, Plan, Tick, Ticks } from '../types';
import { Age, ask, Empty, envTone, ErrorBox, Loading, State } from '../ui';
import { TickState } from './env';

const LIMIT = 500;
const THINK_MS = 250; // after the last tick
const RETRY_MS = 3_000;

type Strategy = '' | 'rolling' | 'all-at-once';
// "ticked", or how to take over from the env before
type Source = 'ticked' | 'set' | 'same';

export function SubmitPage({ app, env }: { app: string; env: string }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const mine = (event: { app: string | null; env: string | null; topic: string }) => event.app === app && event.env === env && event.topic !== 'output';
    const ae = useResource<AppEnv>(base, { concerns: (event) => mine(event) && event.topic !== 'repo' });
    const ticks = useResource<Ticks>(`${base}/ticks`, { concerns: (event) => mine(event) && (event.topic === 'repo' || event.topic === 'journal') });
    const [match, setMatch] = useState('');
    const branches = useResource<Branches>(`/apps/${seg(app)}/branches${query({ limit: LIMIT, match })}`, { concerns: (event) => event.app === app && event.topic === 'repo' });
    const envs = useResource<Page<Env>>('/envs');
    const error = ae.error ?? ticks.error ?? branches.error ?? envs.error;
    const kept = useRef<Branches | undefined>(undefined);
    if (branches.data)
        kept.current = branches.data; // while another filter is asked for
    const list = branches.data ?? kept.current;
    if (!ae.data || !ticks.data || !list || !envs.data)
        return error ? <ErrorBox error={error} retry={() => [ae, ticks, branches, envs].forEach((one) => one.reload())} /> : <Loading />;
    return <Submit ae={ae.data} ticks={ticks.data} branches={list} envs={envs.data.items.map((one) => one.name)} purpose={envs.data.items.find((one) => one.name === env)?.purpose ?? ''} match={match} setMatch={setMatch} />;
}

function Submit({ ae, ticks: { ticks, known }, branches, envs, purpose, match, setMatch }: { ae: AppEnv; ticks: Ticks; branches: Branches; envs: string[]; purpose: string; match: string; setMatch: (match: string) => void }) {
    const { app, env } = ae;
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const stored = useMemo(() => ticks.map((tick) => tick.branch), [ticks]);
    const [changed, setChanged] = useState<string[] | null>(null); // null: as stored
    const [filter, setFilter] = useState('');
    const [strategy, setStrategy] = useState<Strategy>('');
    const position = envs.indexOf(env);
    const before = position > 0 ? envs[position - 1]! : null;
    const [source, setSource] = useState<Source>(before && !stored.length ? 'set' : 'ticked');
    const { data: from } = useResource<AppEnv>(before ? `/apps/${seg(app)}/envs/${seg(before)}` : null, { concerns: (event) => event.app === app && event.env === before && event.topic === 'rollout' });
    const wanted = source === 'ticked' ? (changed ?? stored) : (from?.release?.branches.map((one) => one.branch) ?? []);
    const mayDeploy = may(ae.rights, 'deploy');
    const mayTick = may(ae.rights, 'tick') && source === 'ticked';
    const toggle = (name: string) => setChanged(wanted.includes(name) ? wanted.filter((one) => one !== name) : [...wanted, name]);
    const body = source === 'ticked' ? { kind: 'deploy' } : { kind: 'promote', from: before, ...(source === 'same' ? { same_artifact: true } : {}) };
    const how = strategy ? { strategy } : {};
    const set = source === 'ticked' && changed ? { branches: changed } : {};
    const check = usePlan(mayDeploy || may(ae.rights, 'tick') ? base : null, { ...body, ...how, ...set }, ae.live_release, ticks);
    const conflict = check.error?.detail?.conflict as Conflict | undefined;
    const [inConflict, setTouched] = useState<Set<string>>(new Set());
    // What was looked at is what is released, or it is refused: the plan says its commit and what it replaces.
    const submit = async () => {
        const expect = { ...(check.plan?.commit ? { expect_commit: check.plan.commit } : {}), expect_live: check.plan?.live_release ?? ae.live_release };
        const { rollout } = await api.post(`${base}/rollouts`, { ...body, ...how, ...set, ...expect });
        go(`/apps/${seg(app)}/${seg(env)}/rollouts/${rollout.id}`);
    };
    const confirm = () => ask({
        title: t('submit.title', { app, env: tName('stage', env) }),
        says: <p>{t('submit.confirm', { app, env: tName('stage', env), n: wanted.length, strategy: strategy ? t(`submit.${strategy}`) : t('submit.asConfigured') })}</p>,
        go: t('submit.go', { env: tName('stage', env) }), danger: position === envs.length - 1, act: submit,
    });
    return (
        <div class={`submit ${envTone(position, envs.length)}`}>
            <div class="banner"><h1>{t('submit.title', { app, env: '' })}<b>{tName('stage', env)}</b></h1><span class="dim">{ae.live_release ? t('rollout.replaces', { n: ae.live_release }) : t('rollout.first')}</span>{purpose && <span>{visible(purpose)}</span>}</div>
            {ae.rollout && <p class="box"><a href={`/apps/${seg(app)}/${seg(env)}/rollouts/${ae.rollout.id}`}>{t('submit.held', { who: ae.rollout.by, id: ae.rollout.id })}</a></p>}
            {!mayDeploy && <p class="box">{t('submit.mayNot', { who: ae.deployers.length ? t('submit.ask', { who: ae.deployers.join(', ') }) : t('submit.askAdmin') })}</p>}
            <div class="two">
                <section aria-labelledby="pick">
                    <div class="bar"><h2 id="pick">{t('submit.pick')}</h2><input type="search" data-filter value={filter} placeholder={t('submit.filter')} aria-label={t('submit.filter')} onInput={(event) => {
                        setFilter(event.currentTarget.value);
                        if (branches.more || match)
                            setMatch(event.currentTarget.value); // there are more than those shown: the server filters
                    }} />{branches.more && <span class="dim">{t('submit.more', { n: branches.items.length })}</span>}</div>
                    {!may(ae.rights, 'tick') && <p class="dim">{t('submit.mayNotTick')}</p>}
                    <Pick branches={branches} ticks={ticks} known={known} stored={stored} wanted={wanted} touched={conflict ? new Set([...inConflict, conflict.branch, ...conflict.against]) : check.plan?.left_out?.length ? inConflict : new Set()} filter={filter} toggle={toggle} disabled={!mayTick} />
                </section>
                {check.asked && <section aria-labelledby="plan" class="plan-side">
                    {before && (
                        <fieldset><legend>{t('submit.what')}</legend>
                            {(['ticked', 'set', 'same'] as Source[]).map((one) => <label key={one}><input type="radio" name="source" checked={source === one} onChange={() => setSource(one)} />{one === 'ticked' ? t('submit.ticked') : one === 'set' ? t('submit.promoteSet', { env: tName('stage', before) }) : t('submit.promoteSame', { env: tName('stage', before) })}</label>)}
                        </fieldset>
                    )}
                    <fieldset><legend>{t('submit.strategy')}</legend>
                        {(['', 'rolling', 'all-at-once'] as Strategy[]).map((one) => <label key={one}><input type="radio" name="strategy" checked={strategy === one} onChange={() => setStrategy(one)} />{one ? t(`submit.${one}`) : t('submit.asConfigured')}</label>)}
                    </fieldset>
                    <h2 id="plan">{t('submit.plan')}</h2>
                    <div aria-live="polite">
                        {check.busy ? <p class="dim">{t('submit.checking')}</p> : conflict ? <ConflictBox conflict={conflict} base={base} wanted={wanted} tips={ticks} leave={mayTick ? toggle : undefined} onFacts={setTouched} /> : check.error ? <ErrorBox error={check.error} retry={check.again} /> : check.plan?.left_out?.length ? <WhatIf base={base} wanted={wanted} tips={ticks} leave={mayTick ? toggle : undefined} onFacts={setTouched} says={t('facts.willLeaveOut', { n: check.plan.left_out.length })} /> : <p class="good-text">✓ {t('submit.clean')}</p>}
                    </div>
                    {check.plan && !check.error && <ol class={`steps${check.busy ? ' old' : ''}`}>{check.plan.steps.map((step) => <li key={step.index}>{stepText(step)}</li>)}</ol>}
                    {mayDeploy && <div class="buttons"><button type="button" class={`primary big${position === envs.length - 1 ? ' danger' : ''}`} disabled={!!ae.rollout || !!check.error || check.busy} onClick={confirm}>{t('submit.go', { env: tName('stage', env) })}</button></div>}
                </section>}
            </div>
        </div>
    );
}

interface Conflict {
    branch: string;
    against: string[];
    files: string[];
    file_count: number;
}

// What the plan could not do, at once; then what is to be known of the whole choice, and how to get out of it.
function ConflictBox({ conflict, ...rest }: { conflict: Conflict } & Omit<Parameters<typeof WhatIf>[0], 'says'>) {
    return (
        <>
            <div class="box bad" role="alert">
                <strong>{t('submit.conflict')}</strong>
                <p>{t('submit.conflictSays', { branch: conflict.branch, against: conflict.against.join(', '), count: conflict.file_count ?? conflict.files.length })}</p>
                <ul class="mono">{conflict.files.slice(0, 8).map((file) => <li key={file}>{file}</li>)}{conflict.files.length > 8 && <li>…</li>}</ul>
            </div>
            <WhatIf {...rest} />
        </>
    );
}

// Of the branches that are chosen now, ticked or not.
function WhatIf({ base, wanted, tips, leave, onFacts, says }: { base: string; wanted: string[]; tips: Tick[]; leave: ((branch: string) => void) | undefined; onFacts: (branches: Set<string>) => void; says?: string }) {
    const [facts, setFacts] = useState<Facts>();
    const key = JSON.stringify([wanted, tips.map((tick) => tick.now)]);
    useEffect(() => {
        const own = new AbortController();
        setFacts(undefined);
        api.post<Facts>(`${base}/conflicts`, { branches: wanted }, own.signal).then((reply) => {
            setFacts(reply);
            onFacts(touched(reply));
        }, () => {}); // what the plan says stands
        return () => own.abort();
    }, [base, key]);
    return <>{says && <p class="box warn">{says}</p>}{facts && <FactsOutList facts={facts} leave={leave} />}{facts && facts.out.length > 0 && <p><a class="button small" href={`${base.replace('/envs/', '/')}/conflicts`}>{t('resolve.open')}</a></p>}</>;
}

// The plan for this choice, asked for when the ticking rests.
// base null: nobody asks.
function usePlan(base: string | null, body: object, live: number, ticks: Tick[]): { plan?: Plan; error?: ApiError; busy: boolean; asked: boolean; again: () => void } {
    const [state, setState] = useState<{ plan?: Plan; error?: ApiError; busy: boolean }>({ busy: true });
    const [tries, setTries] = useState(0);
    const text = JSON.stringify(body);
    const tips = ticks.map((tick) => `${tick.branch} ${tick.now}`).join('\n');
    useEffect(() => {
        if (!base)
            return;
        const own = new AbortController();
        setState((before) => ({ ...before, busy: true }));
        let timer = setTimeout(() => {
            api.post<Plan>(`${base}/plan`, JSON.parse(text), own.signal).then((plan) => setState({ plan, busy: false }), (failed) => {
                if (own.signal.aborted)
                    return;
                const error = failed instanceof ApiError ? failed : new ApiError(0, 'offline', String(failed));
                setState({ error, busy: false });
                if (mayPass(error))
                    timer = setTimeout(() => setTries((n) => n + 1), RETRY_MS);
            });
        }, THINK_MS);
        return () => {
            clearTimeout(timer);
            own.abort();
        };
    }, [base, text, live, tips, tries]);
    return { ...state, asked: base !== null, again: () => setTries((n) => n + 1) };
}

function Pick({ branches, ticks, known, stored, wanted, touched, filter, toggle, disabled }: {
    branches: Branches; ticks: Tick[]; known: boolean; stored: string[]; wanted: string[]; touched: Set<string>; filter: string; toggle: (name: string) => void; disabled: boolean;
}) {
    const byName = new Map(ticks.map((tick) => [tick.branch, tick]));
    const listed = new Set(branches.items.map((one) => one.name));
    // A ticked branch that was deleted, or is beyond the list, must be seen to be unticked. Ticked ones first, then the newest.
    const gone: Branch[] = ticks.filter((tick) => !listed.has(tick.branch)).map((tick) => ({ name: tick.branch, tip: '', author: '', email: '', at: 0, subject: '', ahead: 0, behind: 0, envs: [] }));
    const all = [...gone, ...branches.items.filter((one) => one.name !== branches.trunk)];
    const q = filter.toLowerCase();
    const shown = all.filter((one) => wanted.includes(one.name) || one.name.toLowerCase().includes(q) || one.author.toLowerCase().includes(q));
    const sorted = [...shown].sort((a, b) => Number(stored.includes(b.name)) - Number(stored.includes(a.name)) || b.at - a.at);
    if (!all.length)
        return <Empty title={t('submit.noBranches')} />;
    return (
        <ul class="pick">
            {sorted.map((one) => {
                const on = wanted.includes(one.name);
                const was = stored.includes(one.name);
                const tick = byName.get(one.name);
                return (
                    <li key={one.name} class={touched.has(one.name) && on ? 'conflicting' : ''}>
                        <label>
                            <input type="checkbox" checked={on} disabled={disabled} onChange={() => toggle(one.name)} />
                            <span class="name">{visible(one.name)}</span>
                            <span class="dim author">{visible(one.author)}</span>
                            <span class="dim"><Age at={one.at || null} /></span>
                            <span class="end">
                                {touched.has(one.name) && on ? <State name="failed" text={t('submit.conflict')} />
                                    : was && !on ? <State name="cancelled" text={t('submit.leaves')} />
                                        : on && !was ? <State name="running" text={t('submit.comes')} />
                                            : tick ? <TickState tick={tick} known={known} /> : null}
                            </span>
                        </label>
                    </li>
                );
            })}
        </ul>
    );
}
