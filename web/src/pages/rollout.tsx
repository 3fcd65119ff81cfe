// One rollout, live: its steps with their seconds, the output of its build, and at the end where it is to be seen.
import { api, seg } from '../api';
import { BuildOutput, BuildSteps, Checks } from '../build';
import { LeftOut } from '../facts';
import type { FeedEvent } from '../feed';
import { t, tName } from '../i18n';
import { stepText } from '../plan';
import { useResource } from '../resource';
import { rollbackAsk } from '../rollback';
import { may } from '../session';
import { siteUrl } from '../site';
import { duration } from '../time';
import type { AppEnv, Build, Page, Rollout } from '../types';
import { Age, ask, envTone, ErrorBox, Loading, State, StepLine } from '../ui';

export function RolloutPage({ app, env, id }: { app: string; env: string; id: number }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const concerns = (event: FeedEvent) => event.app === app && event.env === env && (event.topic === 'rollout' || (event.topic === 'build' && event.data.state));
    const { data: rollout, error, reload } = useResource<Rollout>(`${base}/rollouts/${id}`, { concerns, soon: 30 });
    const { data: ae } = useResource<AppEnv>(base, { concerns, soon: 400 });
    const envs = useResource<Page<{ name: string }>>('/envs').data?.items.map((one) => one.name) ?? [];
    if (!rollout)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const active = rollout.state === 'running' || rollout.state === 'reverting';
    const number: number | undefined = rollout.steps.find((step) => step.kind === 'build')?.args.build;
    const cancel = () => ask({
        title: t('rollout.cancel'), says: t('rollout.cancelSays', { id }), go: t('rollout.cancel'), danger: true,
        act: async () => {
            await api.post(`${base}/rollouts/${id}/cancel`);
            reload();
        },
    });
    const title = rollout.kind === 'stop' ? t('rollout.stopTitle', { app, env: tName('stage', env) }) : rollout.kind === 'rollback' ? t('rollout.backTitle', { release: rollout.release }) : t('rollout.title', { kind: tName('kind', rollout.kind), release: rollout.release, env: '' });
    return (
        <div class={envs.length ? envTone(envs.indexOf(env), envs.length) : ''}>
            <div class="banner">
                <h1>{title}{rollout.kind !== 'stop' && <b>{tName('stage', env)}</b>}</h1>
                <span role="status"><State name={rollout.state} text={tName('rollout', rollout.state)} /></span>
                <span class="dim">{t('rollout.by', { who: rollout.by, age: '' })}<Age at={rollout.at} />{rollout.ended_at && <> · {t('rollout.took', { time: duration(rollout.ended_at - rollout.at) })}</>}{rollout.from_release > 0 && rollout.kind !== 'stop' && <> · {t('rollout.replaces', { n: rollout.from_release })}</>}</span>
                <span class="grow" />
                {active && rollout.state !== 'reverting' && may(ae?.rights, 'deploy') && <button type="button" class="danger" onClick={cancel}>{t('rollout.cancel')}</button>}
                {!active && may(ae?.rights, 'deploy') && <a class="button" href={`/apps/${seg(app)}/${seg(env)}/submit`}>{t('rollout.again')}</a>}
                {!active && ae && may(ae.rights, 'rollback') && ae.targets.length > 0 && ae.live_release === rollout.release && <button type="button" onClick={() => rollbackAsk(ae)}>{t('app.rollback')}</button>}
            </div>
            <ErrorBox error={rollout.error ?? undefined} />
            <ol class="steps live">{rollout.steps.map((step) => <StepLine key={step.index} state={step.state} text={stepText(step)} from={step.started} to={step.ended} error={step.error} />)}</ol>
            {rollout.state === 'done' && ae && rollout.kind !== 'stop' && <p class="box good">{t('rollout.doneAt', { release: rollout.release })} {ae.domains.map((domain) => <a key={domain} href={siteUrl(ae, domain)} target="_blank" rel="noopener noreferrer">{domain} </a>)} · <a href={`/apps/${seg(app)}/${seg(env)}/logs?release=${rollout.release}`}>{t('logs')}</a></p>}
            {number && <BuildOf app={app} env={env} number={number} replaces={rollout.from_build} />}
        </div>
    );
}

function BuildOf({ app, env, number, replaces }: { app: string; env: string; number: number; replaces: number | null }) {
    const path = `/apps/${seg(app)}/envs/${seg(env)}/builds/${number}`;
    const { data: build } = useResource<Build>(path, { concerns: (event) => event.app === app && event.env === env && event.topic === 'build' && event.data.number === number });
    return (
        <section aria-labelledby="build">
            <h2 id="build">{t('build')} b{number} <small class="dim">{replaces && replaces !== number ? t('rollout.overwrites', { n: replaces }) : ''}{build?.same_as ? ` · ${t('rollout.sameAs', { n: build.same_as })}` : ''}</small></h2>
            <LeftOut rows={build?.left_out} />
            {build && <BuildSteps build={build} />}
            {build && <Checks build={build} />}
            <BuildOutput app={app} env={env} number={number} ended={!!build?.ended_at} />
        </section>
    );
}
