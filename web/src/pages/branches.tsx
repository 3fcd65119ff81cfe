// 分支管理: all branches of the app, where each is, and what to type to work on one.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { api, ApiError, query, seg } from '../api';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { may, me } from '../session';
import { useSignal } from '../signal';
import type { App, Branch, Branches, Tick } from '../types';
import { Age, ask, Commit, Copy, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from '../ui';

const LIMIT = 500;

export function BranchesPage({ app }: { app: string }) {
    const base = `/apps/${seg(app)}`;
    const { data: about } = useResource<App>(base);
    const { data, error, reload } = useResource<Branches>(`${base}/branches?limit=${LIMIT}`, { concerns: (event) => event.app === app && (event.topic === 'repo' || event.topic === 'journal') });
    const mine = useResource<{ branches: { app: string; branch: string }[] }>('/mine', { concerns: (event) => event.app === app && event.topic === 'repo' });
    const at = useSignal(address);
    const who = useSignal(me)!;
    const [creating, setCreating] = useState(false);
    const ticks = useTicks(app, about?.envs);
    const conflicts = useConflicts(app, about?.envs, ticks);
    const own = useMemo(() => new Set(mine.data?.branches.filter((one) => one.app === app).map((one) => one.branch)), [mine.data, app]);
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const q = (param(at, 'q') ?? '').toLowerCase();
    const shown = data.items.filter((one) => one.name.toLowerCase().includes(q) || one.author.toLowerCase().includes(q) || one.subject.toLowerCase().includes(q));
    const rank = (one: Branch) => (one.name === data.trunk ? 0 : own.has(one.name) ? 1 : 2);
    const sorted = [...shown].sort((a, b) => rank(a) - rank(b) || b.at - a.at);
    const envs = about?.envs ?? [];
    return (
        <>
            <div class="bar">
                <h1>{app} <span class="dim">{t('branches')}</span></h1>
                <input type="search" data-filter value={param(at, 'q') ?? ''} placeholder={t('submit.filter')} aria-label={t('submit.filter')} onInput={(event) => setParam('q', event.currentTarget.value)} />
                <span class="grow" />
                {may(about?.rights, 'branch') && <button type="button" class="primary" onClick={() => setCreating(true)}>{t('branches.new')}</button>}
            </div>
            {data.items.length <= 1 && <Empty title={data.items.length ? t('branches.empty') : t('app.pushFirst')}>{about && data.items.length === 0 && <Copy text={`git push ${about.git} ${about.trunk}`} />}</Empty>}
            {sorted.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('branch')}</th><th scope="col">{t('branches.lastCommit')}</th><th scope="col">{t('author')}</th><th scope="col">{t('when')}</th><th scope="col">{t('branches.ahead')}</th><th scope="col">{t('branches.behind')}</th>{envs.map((env) => <th scope="col" key={env}>{tName('env', env)}</th>)}<th scope="col" /></tr></thead>
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

// branch -> its tick, for each env
type Ticks = Map<string, Map<string, Tick>>;

function useTicks(app: string, envs: string[] | undefined): Ticks {
    const [ticks, setTicks] = useState<Ticks>(new Map());
    const changed = useResource<Branches>(`/apps/${seg(app)}/branches?limit=1`, { concerns: (event) => event.app === app && (event.topic === 'repo' || event.topic === 'journal') });
    useEffect(() => {
        const own = new AbortController();
        void Promise.all((envs ?? []).map(async (env): Promise<[string, Map<string, Tick>]> => {
            const reply = await api.get<{ ticks: Tick[] }>(`/apps/${seg(app)}/envs/${seg(env)}/ticks`, own.signal).catch(() => ({ ticks: [] }));
            return [env, new Map(reply.ticks.map((tick) => [tick.branch, tick]))];
        })).then((all) => !own.signal.aborted && setTicks(new Map(all)));
        return () => own.abort();
    }, [app, envs?.join(' '), changed.data]);
    return ticks;
}

// env -> the branches that its set cannot be merged with now
function useConflicts(app: string, envs: string[] | undefined, ticks: Ticks): Map<string, Set<string>> {
    const [conflicts, setConflicts] = useState(new Map<string, Set<string>>());
    useEffect(() => {
        const own = new AbortController();
        void Promise.all((envs ?? []).map(async (env): Promise<[string, Set<string>]> => {
            const stale = [...(ticks.get(env)?.values() ?? [])].some((tick) => tick.now !== tick.deployed_tip);
            if (!stale)
                return [env, new Set()];
            try {
                await api.post(`/apps/${seg(app)}/envs/${seg(env)}/plan`, { kind: 'deploy' }, own.signal);
            } catch (error) {
                const conflict = error instanceof ApiError && error.detail?.conflict;
                if (conflict)
                    return [env, new Set([conflict.branch, ...conflict.against])];
            }
            return [env, new Set()];
        })).then((all) => !own.signal.aborted && setConflicts(new Map(all)));
        return () => own.abort();
    }, [app, ticks]);
    return conflicts;
}

function Row({ one, app, own, trunk, envs, ticks, conflicts }: {
    one: Branch; app: App | undefined; own: boolean; trunk: boolean; envs: string[]; ticks: Ticks; conflicts: Map<string, Set<string>>;
}) {
    const [open, setOpen] = useState(false);
    const remove = () => ask({
        title: one.name, says: t('branches.deleteSays', { name: one.name }), go: t('delete'), danger: true,
        act: () => api.delete(`/apps/${seg(app!.name)}/branches${query({ name: one.name })}`),
    });
    return (
        <tr>
            <td>
                <button type="button" class="quiet name" aria-expanded={open} onClick={() => setOpen(!open)}>{one.name}</button>
                {trunk && <State name="warm" text={t('trunk')} />}{own && <State name="running" text={t('branches.mine')} />}
                {open && app && <div class="says"><Copy text={`git fetch ${app.git} ${one.name} && git checkout -b ${one.name} FETCH_HEAD`} label={`git fetch && git checkout ${one.name}`} />{may(app.rights, 'trunk') && !trunk && <button type="button" class="small danger" onClick={remove}>{t('delete')}</button>}</div>}
            </td>
            <td class="wrap"><Commit id={one.tip} /> {one.subject}</td>
            <td>{one.author}</td>
            <td><Age at={one.at} /></td>
            <td class="number">{trunk ? '' : one.ahead}</td>
            <td class="number">{trunk ? '' : one.behind}</td>
            {envs.map((env) => <td key={env}><Where tick={ticks.get(env)?.get(one.name)} conflict={!!conflicts.get(env)?.has(one.name)} /></td>)}
            <td />
        </tr>
    );
}

function Where({ tick, conflict }: { tick: Tick | undefined; conflict: boolean }) {
    if (!tick)
        return <span class="dim">–</span>;
    if (conflict)
        return <State name="failed" text={t('branches.conflict')} />;
    if (!tick.deployed_tip)
        return <State name="pending" text={t('branches.ticked')} />;
    return tick.now === tick.deployed_tip || tick.now === undefined ? <State name="done" text={t('branches.in')} /> : <State name="running" text={t('branches.outOfDate')} />;
}

function Create({ app, who, branches, onClose, onDone }: { app: App; who: string; branches: Branch[]; onClose: () => void; onDone: () => void }) {
    const [made, setMade] = useState<string>();
    if (made)
        return (
            <Dialog title={made} onClose={onClose}>
                <p>{t('branches.checkout')}</p>
                <Copy text={`git fetch ${app.git} ${made} && git checkout -b ${made} FETCH_HEAD`} />
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
                <Field label={t('name')} hint={t('branches.ruleHint')}><input name="name" value={`feature/${who}-`} required maxLength={200} spellcheck={false} autofocus /></Field>
                <Field label={t('branches.from')}><select name="from">{[app.trunk, ...branches.map((one) => one.name).filter((name) => name !== app.trunk)].map((name) => <option key={name}>{name}</option>)}</select></Field>
            </Form>
        </Dialog>
    );
}
