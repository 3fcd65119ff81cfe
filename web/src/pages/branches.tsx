// 分支管理: all branches of the app, where each is, and what to type to work on one.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, query, seg } from '../api';
import { touched, useFacts } from '../facts';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { may, me } from '../session';
import { shell } from '../shell';
import { useSignal } from '../signal';
import type { App, Branch, Branches, Tick, Ticks } from '../types';
import { Age, ask, Commit, Copy, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from '../ui';

const LIMIT = 500;

export function BranchesPage({ app }: { app: string }) {
    const base = `/apps/${seg(app)}`;
    const { data: about } = useResource<App>(base);
    const at = useSignal(address);
    const q = (param(at, 'q') ?? '').toLowerCase();
    const many = useRef(false); // more than one answer holds: then the server filters
    const asked = useResource<Branches>(`${base}/branches${query({ limit: LIMIT, match: many.current ? param(at, 'q') : null })}`, { concerns: (event) => event.app === app && (event.topic === 'repo' || event.topic === 'journal') });
    const mine = useResource<{ branches: { app: string; branch: string }[] }>('/mine', { concerns: (event) => event.app === app && event.topic === 'repo' });
    const kept = useRef<Branches | undefined>(undefined);
    if (asked.data)
        kept.current = asked.data;
    const data = kept.current;
    const { error, reload } = asked;
    many.current ||= data?.more ?? false;
    const who = useSignal(me)!;
    const [creating, setCreating] = useState(false);
    const [ticks, setTicks] = useState<TicksOf>(new Map());
    const onTicks = (env: string, reply: Ticks) => setTicks((before) => new Map(before).set(env, { known: reply.known, of: new Map(reply.ticks.map((tick) => [tick.branch, tick])) }));
    const [conflicts, setConflicts] = useState(new Map<string, Set<string>>());
    const onFacts = (env: string, branches: Set<string>) => setConflicts((before) => new Map(before).set(env, branches));
    const own = useMemo(() => new Set(mine.data?.branches.filter((one) => one.app === app).map((one) => one.branch)), [mine.data, app]);
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const shown = data.items.filter((one) => one.name.toLowerCase().includes(q) || one.author.toLowerCase().includes(q) || one.subject.toLowerCase().includes(q));
    const rank = (one: Branch) => (one.name === data.trunk ? 0 : own.has(one.name) ? 1 : 2);
    const sorted = [...shown].sort((a, b) => rank(a) - rank(b) || b.at - a.at);
    const envs = about?.envs ?? [];
    return (
        <>
            <div class="bar">
                <h1>{app} <span class="dim">{t('branches')}</span></h1>
                <input type="search" data-filter value={param(at, 'q') ?? ''} placeholder={t('submit.filter')} aria-label={t('submit.filter')} onInput={(event) => setParam('q', event.currentTarget.value)} />
                {data.more && <span class="dim">{t('submit.more', { n: data.items.length })}</span>}
                <span class="grow" />
                {may(about?.rights, 'branch') && <button type="button" class="primary" onClick={() => setCreating(true)}>{t('branches.new')}</button>}
            </div>
            {data.items.length <= 1 && <Empty title={data.items.length ? t('branches.empty') : t('app.pushFirst')}>{about && data.items.length === 0 && <Copy text={shell`git push ${about.git} ${about.trunk}`} />}</Empty>}
            {envs.map((env) => <EnvTicks key={env} app={app} env={env} onTicks={onTicks} />)}
            {envs.filter((env) => (ticks.get(env)?.of.size ?? 0) > 0).map((env) => <EnvFacts key={env} app={app} env={env} onFacts={onFacts} />)}
            {sorted.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('branch')}</th><th scope="col">{t('branches.lastCommit')}</th><th scope="col">{t('author')}</th><th scope="col">{t('when')}</th><th scope="col">{t('branches.ahead')}</th><th scope="col">{t('branches.behind')}</th>{envs.map((env) => <th scope="col" key={env}>{conflicts.get(env)?.size ? <a href={`/apps/${seg(app)}/${seg(env)}/conflicts`}>{tName('stage', env)}</a> : tName('stage', env)}</th>)}<th scope="col" /></tr></thead>
                    <tbody>{sorted.map((one) => <Row key={one.name} one={one} app={about} own={own.has(one.name)} trunk={one.name === data.trunk} envs={envs} ticks={ticks} conflicts={conflicts} />)}</tbody>
                </table></div>
            )}
            {creating && about && <Create app={about} who={who.name} branches={data.items} onClose={() => setCreating(false)} onDone={() => {
                reload();
                mine.reload();
            }} />}
        </>
    );
}

// branch -> its tick, for each env; known: the repository could be asked
type TicksOf = Map<string, { known: boolean; of: Map<string, Tick> }>;

// Asked for by each env's own part of the page (EnvTicks), which keeps what it knew when it cannot be asked for.
function EnvTicks({ app, env, onTicks }: { app: string; env: string; onTicks: (env: string, ticks: Ticks) => void }) {
    const { data, error, reload } = useResource<Ticks>(`/apps/${seg(app)}/envs/${seg(env)}/ticks`, {
        concerns: (event) => event.app === app && event.env === env && (event.topic === 'repo' || (event.topic === 'journal' && /^(ticks|rollout|rollback)\./.test(event.data?.kind ?? ''))), soon: 500,
    });
    useEffect(() => {
        if (data)
            onTicks(env, data);
    }, [data]);
    return data ? null : <ErrorBox error={error} retry={reload} />;
}

// Asked for by each env's own part of the page, as its ticks are.
function EnvFacts({ app, env, onFacts }: { app: string; env: string; onFacts: (env: string, branches: Set<string>) => void }) {
    const { data } = useFacts(app, env);
    useEffect(() => {
        if (data)
            onFacts(env, touched(data));
    }, [data]);
    return null;
}

function Row({ one, app, own, trunk, envs, ticks, conflicts }: {
    one: Branch; app: App | undefined; own: boolean; trunk: boolean; envs: string[]; ticks: TicksOf; conflicts: Map<string, Set<string>>;
}) {
    const [open, setOpen] = useState(false);
    const remove = () => ask({
        title: one.name, says: t('branches.deleteSays', { name: one.name }), go: t('delete'), danger: true,
        act: () => api.delete(`/apps/${seg(app!.name)}/branches${query({ name: one.name })}`),
    });
    return (
        <tr>
            <td>
                <button type="button" class="quiet name" aria-expanded={open} onClick={() => setOpen(!open)}>{visible(one.name)}</button>
                {trunk && <State name="warm" text={t('trunk')} />}{own && <State name="running" text={t('branches.mine')} />}
                {open && app && <div class="says"><Copy text={shell`git fetch ${app.git} ${one.name} && git checkout -b ${one.name} FETCH_HEAD`} /><a class="button small" href={`/apps/${seg(app.name)}/findings${query({ branch: one.name, state: 'all' })}`}>{t('findings')}</a>{may(app.rights, 'trunk') && !trunk && <button type="button" class="small danger" onClick={remove}>{t('delete')}</button>}</div>}
            </td>
            <td class="wrap"><Commit id={one.tip} /> {visible(one.subject)}</td>
            <td>{visible(one.author)}</td>
            <td><Age at={one.at} /></td>
            <td class="number">{trunk ? '' : one.ahead}</td>
            <td class="number">{trunk ? '' : one.behind}</td>
            {envs.map((env) => <td key={env}><Where tick={ticks.get(env)?.of.get(one.name)} known={ticks.get(env)?.known ?? false} conflict={!!conflicts.get(env)?.has(one.name)} /></td>)}
            <td />
        </tr>
    );
}

function Where({ tick, known, conflict }: { tick: Tick | undefined; known: boolean; conflict: boolean }) {
    if (!tick)
        return <span class="dim">–</span>;
    if (conflict)
        return <State name="failed" text={t('branches.conflict')} />;
    if (!tick.deployed_tip)
        return <State name="pending" text={t('branches.ticked')} />;
    return tick.now === tick.deployed_tip || !known ? <State name="done" text={t('branches.in')} /> : <State name="running" text={t('branches.outOfDate')} />;
}

function Create({ app, who, branches, onClose, onDone }: { app: App; who: string; branches: Branch[]; onClose: () => void; onDone: () => void }) {
    const [made, setMade] = useState<string>();
    if (made)
        return (
            <Dialog title={made} onClose={onClose}>
                <p>{t('branches.checkout')}</p>
                <Copy text={shell`git fetch ${app.git} ${made} && git checkout -b ${made} FETCH_HEAD`} />
                <div class="buttons"><button type="button" autofocus onClick={onClose}>{t('close')}</button></div>
            </Dialog>
        );
    return (
        <Dialog title={t('branches.new')} onClose={onClose}>
            <p>{t('branches.newSays')}</p>
            <Form go={t('branches.new')} act={async ({ name, from }) => {
                await api.post(`/apps/${seg(app.name)}/branches`, { name: name!.trim(), from });
                onDone();
                setMade(name!.trim());
            }}>
                <Field label={t('name')} hint={t('branches.ruleHint')}><input name="name" defaultValue={`feature/${who}-`} required maxLength={200} spellcheck={false} autofocus /></Field>
                <Field label={t('branches.from')}><select name="from">{[app.trunk, ...branches.map((one) => one.name).filter((name) => name !== app.trunk)].map((name) => <option key={name}>{name}</option>)}</select></Field>
            </Form>
        </Dialog>
    );
}
