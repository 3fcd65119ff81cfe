// One app in one environment: what runs, from which branches, how it came to be, and how it differs from the next one.
import { useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, ApiError, query, seg } from '../api';
import { Compare } from '../compare';
import { useFacts } from '../facts';
import type { FeedEvent } from '../feed';
import { t, tName } from '../i18n';
import { Land } from '../land';
import { useResource } from '../resource';
import { rollbackAsk } from '../rollback';
import { go } from '../route';
import { may, me } from '../session';
import { siteUrl } from '../site';
import { bytes } from '../time';
import type { AppEnv, Branches as AllBranches, Env, Instance, Page, Policy, Release, Rollout, Tick, Ticks } from '../types';
import { Act, Age, ask, Commit, Dialog, Empty, envTone, ErrorBox, Field, Form, Loading, State } from '../ui';

const HISTORY = 20;
const HISTORY_MAX = 1000; // of one answer

interface Place {
    app: string;
    env: string;
}

export function EnvPage({ app, env }: Place) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const mine = (event: FeedEvent) => event.app === app && event.env === env && !['output', 'repo', 'facts'].includes(event.topic);
    const { data: ae, error, reload } = useResource<AppEnv>(base, { concerns: mine });
    const { data: envs } = useResource<Page<Env>>('/envs', { concerns: (event) => event.topic === 'journal' && event.data.kind === 'env.changed' });
    if (!ae)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const names = envs?.items.map((one) => one.name) ?? [];
    const position = names.indexOf(env);
    const next = names[position + 1];
    const to = `/apps/${seg(app)}/${seg(env)}`;
    const rights = ae.rights.filter((right) => right !== 'view').map((right) => tName('perm', right)).join(', ');
    const stop = () => ask({
        title: t('env.stop'), says: t('env.stopSays', { app, env: tName('stage', env) }), go: t('env.stop'), danger: true,
        act: async () => go(`${to}/rollouts/${(await api.post(`${base}/rollouts`, { kind: 'stop' })).rollout.id}`),
    });
    return (
        <div class={`env-page ${names.length ? envTone(position, names.length) : ''}`}>
            <div class="bar">
                <h1><a href={`/apps/${seg(app)}`}>{app}</a> <span class="env-name">{tName('stage', env)}</span></h1>
                <span class="grow" />
                {may(ae.rights, 'deploy') && <a class="button primary" href={`${to}/submit`}>{t('app.submit')}</a>}
                {may(ae.rights, 'rollback') && ae.targets.length > 0 && <button type="button" onClick={() => rollbackAsk(ae)}>{t('app.rollback')}</button>}
                <a class="button" href={`${to}/logs`}>{t('logs')}</a>
                <a class="button" href={`${to}/requests`}>{t('requests')}</a>
                {may(ae.rights, 'deploy') && ae.live_release > 0 && <button type="button" class="danger" onClick={stop}>{t('env.stop')}</button>}
            </div>
            <p class="dim">{position >= 0 && t('env.what', { position: position + 1, count: names.length })} · {rights ? t('env.who', { rights }) : t('env.whoNothing')}</p>
            {position >= 0 && <About env={envs!.items[position]!} />}
            <Automation ae={ae} />
            {ae.deployers.length > 0 && <p class="dim">{t('env.deployers', { who: ae.deployers.join(', ') })}</p>}
            {ae.rollout && <p class="box"><a href={`${to}/rollouts/${ae.rollout.id}`}>{t('env.held', { who: ae.rollout.by, kind: tName('kind', ae.rollout.kind), release: ae.rollout.release, id: ae.rollout.id })}</a></p>}
            <Domains ae={ae} />
            <Instances app={app} env={env} />
            <Branches app={app} env={env} release={ae.release} mayTick={may(ae.rights, 'tick')} />
            <History app={app} env={env} live={ae.live_release} targets={ae.targets} ae={ae} />
            {position === names.length - 1 && names.length > 0 && <Land app={app} env={env} mayLand={may(ae.rights, 'trunk')} />}
            {next && <NextDiff app={app} env={env} next={next} release={ae.live_release} />}
            <Secrets app={app} env={env} rights={ae.rights} />
            <Config app={app} env={env} />
        </div>
    );
}

const POLICIES: Policy[] = ['stop', 'skip', 'last-good'];

// What it is for, and what it does at a conflict: of this environment of every app.
function About({ env }: { env: Env }) {
    const path = `/envs/${seg(env.name)}`;
    const name = tName('stage', env.name);
    const purpose = () => {
        let text = env.purpose;
        ask({
            title: t('env.purpose'), go: t('save'),
            says: <><p>{t('env.purposeSays', { env: name })}</p><textarea rows={3} maxLength={100} defaultValue={text} aria-label={t('env.purpose')} onInput={(event) => { text = event.currentTarget.value; }} /></>,
            act: () => api.put(path, { purpose: text.trim() }),
        });
    };
    const policy = () => {
        let chosen = env.policy;
        ask({
            title: t('policy'), go: t('save'),
            says: <><p>{t('policy.says', { env: name })}</p>{POLICIES.map((one) => <label key={one}><input type="radio" name="policy" defaultChecked={one === env.policy} onChange={() => { chosen = one; }} />{tName('policy', one)}</label>)}</>,
            act: () => api.put(path, { policy: chosen }),
        });
    };
    const culprits = () => {
        let chosen = env.culprits;
        ask({
            title: t('search'), go: t('save'),
            says: <><p>{t('policy.says', { env: name })}</p>{(['click', 'always'] as const).map((one) => <label key={one}><input type="radio" name="culprits" defaultChecked={one === env.culprits} onChange={() => { chosen = one; }} />{tName('search', one)}</label>)}</>,
            act: () => api.put(path, { culprits: chosen }),
        });
    };
    return (
        <>
            {(env.purpose || me.value?.admin) && <p>{visible(env.purpose)} {me.value?.admin && <button type="button" class="small" onClick={purpose}>{t('env.purpose')}</button>}</p>}
            <p class="dim">{t('policy')}: {tName('policy', env.policy)} {me.value?.admin && <button type="button" class="small" onClick={policy} aria-label={`${t('policy')}: ${t('change')}`}>{t('change')}</button>}</p>
            <p class="dim">{t('search')}: {tName('search', env.culprits)} {me.value?.admin && <button type="button" class="small" onClick={culprits} aria-label={`${t('search')}: ${t('change')}`}>{t('change')}</button>}</p>
        </>
    );
}

function automationText(when: string): string {
    return when === 'click' || when === 'push' ? tName('automation', when) : t('automation.daily', { at: when });
}

function Automation({ ae }: { ae: AppEnv }) {
    const change = () => {
        let chosen = ae.automation;
        let time = /:/.test(chosen) ? chosen : '03:00';
        ask({
            title: t('automation'), go: t('save'),
            says: <><p>{t('automation.says')}</p>
                {['click', 'push'].map((one) => <label key={one}><input type="radio" name="automation" defaultChecked={one === chosen} onChange={() => { chosen = one; }} />{automationText(one)}</label>)}
                <label><input type="radio" name="automation" defaultChecked={/:/.test(chosen)} onChange={() => { chosen = time; }} />{t('automation.daily', { at: '' })}<input type="time" defaultValue={time} aria-label={t('automation.time')} onInput={(event) => { time = event.currentTarget.value; if (/:/.test(chosen)) chosen = time; }} /></label></>,
            act: () => api.put(`/apps/${seg(ae.app)}/envs/${seg(ae.env)}/automation`, { when: chosen }),
        });
    };
    return <p class="dim">{t('automation')}: {automationText(ae.automation)} {may(ae.rights, 'app') && <button type="button" class="small" onClick={change} aria-label={`${t('automation')}: ${t('change')}`}>{t('change')}</button>}</p>;
}

function Domains({ ae }: { ae: AppEnv }) {
    const [editing, setEditing] = useState(false);
    const base = `/apps/${seg(ae.app)}/envs/${seg(ae.env)}`;
    return (
        <section aria-labelledby="domains">
            <h2 id="domains">{t('domains')}</h2>
            <ul class="chips">{ae.domains.map((domain) => <li key={domain}><a href={siteUrl(ae, domain)} target="_blank" rel="noopener noreferrer">{domain}</a></li>)}
                {may(ae.rights, 'app') && <li><button type="button" class="small" aria-label={t('domains.add')} onClick={() => setEditing(true)}>…</button></li>}
            </ul>
            {editing && (
                <Dialog title={t('domains')} onClose={() => setEditing(false)}>
                    <p>{t('domains.says', { app: ae.app, env: tName('stage', ae.env), domains: ae.domains[0]! })}</p>
                    <Form go={t('save')} act={async ({ domains }) => {
                        await api.put(`${base}/domains`, { domains: domains!.split(/[\s,]+/).filter(Boolean) });
                        setEditing(false);
                    }}>
                        <Field label={t('domains.add')}><input name="domains" defaultValue={ae.domains.slice(1).join(' ')} spellcheck={false} autofocus /></Field>
                    </Form>
                </Dialog>
            )}
        </section>
    );
}

function Instances({ app, env }: Place) {
    const { data, error, reload } = useResource<Page<Instance>>(`/apps/${seg(app)}/envs/${seg(env)}/instances`, { every: 5_000, concerns: (event) => event.app === app && event.env === env && (event.topic === 'instance' || event.topic === 'rollout') });
    const to = `/apps/${seg(app)}/${seg(env)}`;
    return (
        <section aria-labelledby="instances">
            <h2 id="instances">{t('instances')}</h2>
            {!data ? <ErrorBox error={error} retry={reload} /> : data.items.length === 0 ? <Empty title={t('env.noInstances')} /> : (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('name')}</th><th scope="col">{t('state')}</th><th scope="col">{t('address')}</th><th scope="col">{t('release')}</th><th scope="col">{t('since')}</th><th scope="col">{t('cpu')}</th><th scope="col">{t('memory')}</th><th scope="col">{t('processes')}</th><th scope="col">{t('restarts')}</th><th scope="col">{t('host')}</th><th scope="col">{t('logs')}</th></tr></thead>
                    <tbody>{data.items.map((one) => <InstanceRow key={one.name} one={one} to={to} />)}</tbody>
                </table></div>
            )}
        </section>
    );
}

function InstanceRow({ one, to }: { one: Instance; to: string }) {
    const sick = one.health && one.health !== 'ready' && one.state !== 'stopping' && one.state !== 'starting';
    const up = one.up_since ?? one.since;
    const cpu = one.cpu_us != null && up ? one.cpu_us / 10 / Math.max(1, Date.now() - up) : null; // % of one core since it is up
    return (
        <tr>
            <td><code>{one.name}</code></td>
            <td><State name={sick ? one.health! : one.state} text={sick ? tName('health', one.health!) : tName('instance', one.state)} />{one.why && <div class="dim wrap">{one.why}</div>}</td>
            <td><code>{one.address && `${one.address}:${one.port}`}</code></td>
            <td>r{one.release}</td>
            <td><Age at={up} /></td>
            <td class="number">{cpu === null ? '–' : `${cpu.toFixed(1)} %`}</td>
            <td class="number">{one.memory == null ? '–' : `${bytes(one.memory)}${one.memory_limit ? ` / ${bytes(one.memory_limit)}` : ''}`}</td>
            <td class="number">{one.pids ?? '–'}</td>
            <td class="number">{one.restarts ?? '–'}</td>
            <td>{one.host}</td>
            <td><a href={`${to}/logs${query({ instance: one.name })}`}>{t('logs')}</a></td>
        </tr>
    );
}

function Branches({ app, env, release, mayTick }: Place & { release: Release | null; mayTick: boolean }) {
    const branches = useResource<AllBranches>(`/apps/${seg(app)}/branches${query({ limit: 500 })}`);
    const authors = new Map(branches.data?.items.map((one) => [one.name, one.author]));
    const { data, error, reload } = useResource<Ticks>(`/apps/${seg(app)}/envs/${seg(env)}/ticks`, { concerns: (event) => event.app === app && event.env === env && (event.topic === 'repo' || event.topic === 'journal') });
    const [failed, setFailed] = useState<ApiError>();
    // In which order they are merged: who comes first stays when two conflict.
    const earlier = async (i: number) => {
        const names = data!.ticks.map((tick) => tick.branch);
        [names[i - 1], names[i]] = [names[i]!, names[i - 1]!];
        await api.post(`/apps/${seg(app)}/envs/${seg(env)}/ticks`, { set: names }).then(() => setFailed(undefined), setFailed);
        reload();
    };
    const { data: facts } = useFacts(app, data?.ticks.length ? env : null);
    const out = new Set(facts?.out.map((row) => row.branch));
    return (
        <section aria-labelledby="branches">
            <div class="bar"><h2 id="branches">{t('submit.ticked')}</h2>{facts && <State name={out.size ? 'failed' : 'done'} text={t('facts.merge', { in: facts.in.length + facts.contained.length, n: facts.ticks.length })} />}<span class="grow" /><a class="button" href={`/apps/${seg(app)}/findings?env=${seg(env)}`}>{t('findings')}</a>{facts && facts.ticks.length > 1 && <a class="button" href={`/apps/${seg(app)}/${seg(env)}/conflicts`}>{t('facts.show')}</a>}</div>
            <ErrorBox error={error ?? failed} />
            {release && <p class="dim">{t('release')} r{release.number}, {t('commit')} <Commit id={release.commit} /></p>}
            {data && data.ticks.length === 0 && <p class="dim">{t('app.onlyTrunk')}</p>}
            {data && data.ticks.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col" class="number">#</th><th scope="col">{t('branch')}</th><th scope="col">{t('author')}</th><th scope="col">{t('submit.deployed')}</th><th scope="col">{t('tip')}</th><th scope="col">{t('state')}</th><th scope="col">{t('who')}</th><th scope="col">{t('when')}</th></tr></thead>
                    <tbody>{data.ticks.map((tick, i) => (
                        <tr key={tick.branch}>
                            <td class="number">{i + 1}{mayTick && i > 0 && <> <button type="button" class="small" title={t('branches.earlier')} aria-label={`${t('branches.earlier')}: ${tick.branch}`} onClick={() => void earlier(i)}>↑</button></>}</td>
                            <td>{visible(tick.branch)}</td><td>{visible(authors.get(tick.branch) ?? '–')}</td><td><Commit id={tick.deployed_tip} /></td><td><Commit id={tick.now} /></td>
                            <td><TickState tick={tick} known={data.known} />{out.has(tick.branch) && <State name="failed" text={t('branches.conflict')} />}</td><td>{tick.by}</td><td><Age at={tick.at} /></td>
                        </tr>
                    ))}</tbody>
                </table></div>
            )}
        </section>
    );
}

// known: the repository could be asked; else nothing is said of what is new or gone.
export function TickState({ tick, known }: { tick: Tick; known: boolean }) {
    if (!known)
        return <State name="pending" text={tick.deployed_tip ? t('submit.unknown') : t('submit.notYet')} />;
    if (!tick.deployed_tip)
        return <State name="pending" text={t('submit.notYet')} />;
    if (tick.now === null)
        return <State name="failed" text={t('submit.gone')} />;
    if (tick.now && tick.now !== tick.deployed_tip)
        return <State name="running" text={tick.new ? t('submit.new', { n: tick.new }) : t('submit.newSome')} />;
    return <State name="done" text={t('submit.deployed')} />;
}

// Releases with the rollouts that carried them, and the difference of any two.
function History({ app, env, live, targets, ae }: Place & { live: number; targets: number[]; ae: AppEnv }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const concerns = (event: FeedEvent) => event.app === app && event.env === env && event.topic === 'rollout';
    const [limit, setLimit] = useState(HISTORY);
    const releases = useResource<Page<Release>>(`${base}/releases?limit=${limit}`, { concerns });
    const rollouts = useResource<Page<Rollout>>(`${base}/rollouts?limit=${limit}`, { concerns });
    const [picked, setPicked] = useState<number[]>([]);
    const [comparing, setComparing] = useState(false);
    const to = `/apps/${seg(app)}/${seg(env)}`;
    const pick = (number: number) => setPicked((before) => (before.includes(number) ? before.filter((one) => one !== number) : [...before, number].slice(-2)));
    const [from, until] = [...picked].sort((a, b) => a - b);
    return (
        <section aria-labelledby="history">
            <div class="bar"><h2 id="history">{t('releases')}</h2><span class="grow" />
                {releases.data && releases.data.items.length > 1 && <button type="button" disabled={picked.length !== 2} title={t('env.compareHint')} onClick={() => setComparing(true)}>{t('env.compare')}{picked.length === 2 ? ` r${from} → r${until}` : ''}</button>}
            </div>
            <ErrorBox error={releases.error} />
            {releases.data?.items.length === 0 && <Empty title={t('env.noReleases')} />}
            {releases.data && releases.data.items.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col" class="narrow"><span class="hidden">{t('env.compare')}</span></th><th scope="col">{t('release')}</th><th scope="col">{t('build')}</th><th scope="col">{t('commit')}</th><th scope="col">{t('branch')}</th><th scope="col">{t('artifact')}</th><th scope="col">{t('who')}</th><th scope="col">{t('when')}</th><th scope="col" /></tr></thead>
                    <tbody>{releases.data.items.map((one) => (
                        <tr key={one.number}>
                            <td class="narrow"><input type="checkbox" checked={picked.includes(one.number)} onChange={() => pick(one.number)} aria-label={`${t('env.compare')} r${one.number}`} /></td>
                            <td><b>r{one.number}</b> {one.number === live && <State name="done" text={t('env.live')} />}{one.bad && <State name="failed" text={t('env.bad')} />}</td>
                            <td>{one.build ? <a href={`${to}/builds/${one.build}`}>b{one.build}</a> : '–'}</td>
                            <td><Commit id={one.commit} /></td>
                            <td class="wrap">{one.branches.map((branch) => branch.branch).join(', ') || t('app.onlyTrunk')}</td>
                            <td><code title={one.artifact}>{one.artifact.replace('sha256:', '').slice(0, 12)}</code></td>
                            <td>{one.by}</td><td><Age at={one.at} /></td>
                            <td>{may(ae.rights, 'rollback') && targets.includes(one.number) && <button type="button" class="small" onClick={() => rollbackAsk(ae, one.number)}>{t('app.rollback')}</button>}</td>
                        </tr>
                    ))}</tbody>
                </table></div>
            )}
            {limit < HISTORY_MAX && ((releases.data?.items.length ?? 0) >= limit || (rollouts.data?.items.length ?? 0) >= limit) && <div class="buttons"><button type="button" onClick={() => setLimit(Math.min(limit * 4, HISTORY_MAX))}>{t('more')}</button></div>}
            {comparing && <Dialog wide title={`${t('env.compare')} r${from} → r${until}`} onClose={() => setComparing(false)}><Compare app={app} from={`${env}/${from}`} to={`${env}/${until}`} /></Dialog>}
            <h3>{t('rollouts')}</h3>
            {rollouts.data && rollouts.data.items.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('rollout')}</th><th scope="col">{t('kind')}</th><th scope="col">{t('release')}</th><th scope="col">{t('state')}</th><th scope="col">{t('who')}</th><th scope="col">{t('when')}</th></tr></thead>
                    <tbody>{rollouts.data.items.map((one) => (
                        <tr key={one.id}>
                            <td><a href={`${to}/rollouts/${one.id}`}>{one.id}</a></td><td>{tName('kind', one.kind)}</td><td>{one.release ? `r${one.release}` : '–'}</td>
                            <td><State name={one.state} text={tName('rollout', one.state)} /></td><td>{one.by}</td><td><Age at={one.at} /></td>
                        </tr>
                    ))}</tbody>
                </table></div>
            )}
        </section>
    );
}

function NextDiff({ app, env, next, release }: Place & { next: string; release: number }) {
    const { data } = useResource<AppEnv>(`/apps/${seg(app)}/envs/${seg(next)}`, { concerns: (event) => event.app === app && event.env === next && event.topic === 'rollout' });
    if (!data?.live_release || !release)
        return null;
    return (
        <section aria-labelledby="next">
            <h2 id="next">{t('env.nextDiff', { env: tName('stage', next) })}</h2>
            <Compare app={app} from={`${next}/${data.live_release}`} to={`${env}/${release}`} />
        </section>
    );
}

interface Secret {
    name: string;
    version: number;
    by?: string;
    at?: number;
    kind?: string;
}

function Secrets({ app, env, rights }: Place & { rights: string[] }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}/secrets`;
    const { data, error, reload } = useResource<Page<Secret>>(base, { concerns: (event) => event.topic === 'journal' && event.app === app && event.env === env });
    const [writing, setWriting] = useState<string>();
    const mayWrite = may(rights, 'secret');
    const kindNow = data?.items.find((one) => one.name === writing)?.kind ?? 'file';
    const place = { app, env: tName('stage', env) };
    return (
        <section aria-labelledby="secrets">
            <div class="bar"><h2 id="secrets">{t('secrets')}</h2><span class="grow" />{mayWrite && <button type="button" onClick={() => setWriting('')}>{t('secrets.new')}</button>}</div>
            <p class="dim">{t('secrets.hint')}</p>
            <ErrorBox error={error} />
            {data?.items.length === 0 && <p class="dim">{t('secrets.empty')}</p>}
            {data && data.items.length > 0 && (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('name')}</th><th scope="col">{t('secrets.kind')}</th><th scope="col">{t('version')}</th><th scope="col">{t('who')}</th><th scope="col">{t('when')}</th><th scope="col" /></tr></thead>
                    <tbody>{data.items.map((one) => (
                        <tr key={one.name}><td><code>{one.name}</code></td><td>{tName('secretKind', one.kind)}</td><td>v{one.version}</td><td>{one.by}</td><td><Age at={one.at} /></td>
                            <td>{mayWrite && <><button type="button" class="small" onClick={() => setWriting(one.name)}>{t('secrets.new')}</button> <button type="button" class="small danger" onClick={() => ask({
                                title: one.name, says: t('secrets.deleteSays', { name: one.name, ...place }), go: t('delete'), danger: true,
                                act: async () => {
                                    await api.delete(`${base}/${seg(one.name)}`);
                                    reload();
                                },
                            })}>{t('delete')}</button></>}</td></tr>
                    ))}</tbody>
                </table></div>
            )}
            {writing !== undefined && (
                <Dialog title={t('secrets.new')} onClose={() => setWriting(undefined)}>
                    <p>{t('secrets.putSays', { name: writing || '…', ...place })}</p>
                    <Form go={t('save')} act={async ({ name, kind, value }) => {
                        await api.put(`${base}/${seg(name!)}`, { value, kind });
                        setWriting(undefined);
                        reload();
                    }}>
                        <Field label={t('name')}><input name="name" defaultValue={writing} readOnly={!!writing} required spellcheck={false} autocomplete="off" autofocus={!writing} /></Field>
                        <Field label={t('secrets.kind')}><select name="kind" defaultValue={kindNow}>{['file', 'env', 'build'].map((kind) => <option key={kind} value={kind} selected={kind === kindNow}>{tName('secretKind', kind)}</option>)}</select></Field>
                        <Field label={t('secrets.value')}><textarea name="value" rows={4} spellcheck={false} autocomplete="off" autofocus={!!writing} /></Field>
                    </Form>
                </Dialog>
            )}
        </section>
    );
}

function Config({ app, env }: Place) {
    const [shown, setShown] = useState<any>();
    return (
        <section aria-labelledby="config">
            <h2 id="config">{t('config')}</h2>
            {shown ? <pre class="output" tabIndex={0}>{JSON.stringify(shown.config, null, 2)}</pre>
                : <Act act={async () => setShown(await api.get(`/apps/${seg(app)}/config${query({ env })}`))}>{t('more')}</Act>}
        </section>
    );
}
