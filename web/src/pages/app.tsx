// 应用主页: one app, its environments side by side in their order.
import { seg, api } from '../api';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { go } from '../route';
import { may } from '../session';
import { useTraffic, type Traffic } from '../traffic';
import { Spark } from '../spark';
import { OriginBox } from '../forges';
import { Tries } from '../tries';
import type { App, AppEnv, Page, Rollout, Tick, Ticks } from '../types';
import { rollbackAsk } from '../rollback';
import { Age, ask, Copy, Empty, envTone, ErrorBox, Loading, State } from '../ui';
import { siteUrl } from '../site';

export function AppPage({ app }: { app: string }) {
    const { data, error, reload } = useResource<App>(`/apps/${seg(app)}`, { concerns: (event) => event.topic === 'journal' && event.app === app });
    const traffic = useTraffic();
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const remove = () => ask({
        title: t('app.remove'), says: t('app.removeSays', { app }), go: t('delete'), danger: true,
        act: async () => {
            await api.delete(`/apps/${seg(app)}`);
            go('/');
        },
    });
    return (
        <>
            <div class="bar">
                <h1>{app}</h1>
                <span class="grow" />
                <a class="button" href={`/apps/${seg(app)}/branches`}>{t('branches')}</a>
                <a class="button" href={`/apps/${seg(app)}/findings`}>{t('findings')}</a>
                {may(data.rights, 'app') && <button type="button" class="danger" onClick={remove}>{t('app.remove')}</button>}
            </div>
            <dl class="facts">
                <div><dt>{t('app.repository')}</dt><dd><Copy text={data.git} /></dd></div>
                <div><dt>{t('trunk')}</dt><dd>{data.trunk}</dd></div>
                {data.created_by && <div><dt>{t('app.owner')}</dt><dd>{data.created_by.replace(/^user:/, '')}</dd></div>}
                {data.created_at && <div><dt>{t('app.created')}</dt><dd><Age at={data.created_at} /></dd></div>}
            </dl>
            <OriginBox app={data} />
            <div class="cards">
                {data.envs.map((env, i) => <EnvCard key={env} app={app} env={env} position={i} count={data.envs.length} traffic={traffic.get(`${app}.${env}`)} />)}
            </div>
            <Tries app={data} />
        </>
    );
}

// How many ticked branches have commits that do not run here.
export function newCommits(ticks: Tick[] | undefined): number {
    return (ticks ?? []).reduce((sum, tick) => sum + (tick.new ?? 0), 0);
}

function EnvCard({ app, env, position, count, traffic }: { app: string; env: string; position: number; count: number; traffic: Traffic | undefined }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const mine = (event: { app: string | null; env: string | null }) => event.app === app && event.env === env;
    const { data, error, reload } = useResource<AppEnv>(base, { concerns: (event) => mine(event) && !['output', 'repo', 'facts'].includes(event.topic) });
    const ticks = useResource<Ticks>(`${base}/ticks`, { concerns: (event) => mine(event) && (event.topic === 'repo' || event.topic === 'journal') });
    const rollouts = useResource<Page<Rollout>>(`${base}/rollouts?limit=1`, { concerns: (event) => mine(event) && event.topic === 'rollout' });
    const last = rollouts.data?.items[0];
    const to = `/apps/${seg(app)}/${seg(env)}`;
    const tone = envTone(position, count);
    if (!data)
        return <section class={`card ${tone}`}><h2>{tName('stage', env)}</h2>{error ? <ErrorBox error={error} retry={reload} /> : <Loading />}</section>;
    const serving = data.instances.filter((one) => one.state === 'serving');
    const sick = serving.filter((one) => one.health && one.health !== 'ready').length;
    const pending = newCommits(ticks.data?.ticks);
    const url = siteUrl(data, data.domains[0]!);
    return (
        <section class={`card ${tone}`} aria-labelledby={`env-${env}`}>
            <h2 id={`env-${env}`}><a href={to}>{tName('stage', env)}</a></h2>
            {data.rollout && <p><a class="moving" href={`${to}/rollouts/${data.rollout.id}`}><progress max={data.rollout.steps.length} value={data.rollout.step} aria-label={t('rollout')} />{tName('kind', data.rollout.kind)} r{data.rollout.release} · {data.rollout.by}</a></p>}
            {data.release ? (
                <dl class="facts column">
                    <div><dt>{t('release')}</dt><dd><b>r{data.release.number}</b>{data.release.build && <> · <a href={`${to}/builds/${data.release.build}`}>b{data.release.build}</a></>}{data.release.bad && <State name="failed" text={t('env.bad')} />}</dd></div>
                    <div><dt>{t('who')}</dt><dd>{data.release.by}, <Age at={data.release.at} /></dd></div>
                    {last && <div><dt>{t('app.last')}</dt><dd><a href={`${to}/rollouts/${last.id}`}>{tName('kind', last.kind)} r{last.release}</a> <State name={last.state} text={tName('rollout', last.state)} /></dd></div>}
                    <div><dt>{t('instances')}</dt><dd><span class={`dot ${serving.length - sick < data.wanted ? 'bad' : 'good'}`} />{serving.length - sick}/{data.wanted}</dd></div>
                    <div><dt>{t('host')}</dt><dd>{[...new Set(data.instances.map((one) => one.host))].join(', ') || '–'}</dd></div>
                    <div><dt>{t('branch')}</dt><dd><span title={data.release.branches.map((one) => one.branch).join('\n')}>{data.release.branches.length ? t('app.branchesIn', { n: data.release.branches.length }) : t('app.onlyTrunk')}</span>{' '}{pending > 0 && <State name="running" text={t('app.newCommits', { n: pending })} />}</dd></div>
                    {traffic && <div><dt>{t('requests')}</dt><dd><Spark points={traffic.points} label={t('requests')} /> {t('perSecond', { n: traffic.perSecond.toFixed(1) })}</dd></div>}
                    <div><dt>{t('domain')}</dt><dd><a href={url} target="_blank" rel="noopener noreferrer">{data.domains[0]}</a></dd></div>
                </dl>
            ) : <Empty title={t('app.neverReleased')} />}
            <div class="buttons">
                {may(data.rights, 'deploy') && <a class="button primary" href={`${to}/submit`}>{t('app.submit')}</a>}
                {may(data.rights, 'rollback') && data.targets.length > 0 && <button type="button" onClick={() => rollbackAsk(data)}>{t('app.rollback')}</button>}
                <a class="button" href={`${to}/logs`}>{t('logs')}</a>
                <a class="button" href={to}>{t('config')}</a>
            </div>
        </section>
    );
}
