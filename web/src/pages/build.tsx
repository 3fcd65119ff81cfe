import { api, seg } from '../api';
import { BuildOutput, BuildSteps, Checks } from '../build';
import { Culprits } from '../culprits';
import { LeftOut } from '../facts';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { may } from '../session';
import { duration } from '../time';
import type { AppEnv, Build } from '../types';
import { Age, ask, Commit, ErrorBox, Loading, State } from '../ui';

export function BuildPage({ app, env, number }: { app: string; env: string; number: number }) {
    const base = `/apps/${seg(app)}/envs/${seg(env)}`;
    const { data: build, error, reload } = useResource<Build>(`${base}/builds/${number}`, { concerns: (event) => event.app === app && event.env === env && event.topic === 'build' && event.data.number === number });
    const { data: ae } = useResource<AppEnv>(base);
    if (!build)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const cancel = () => ask({ title: t('build.abort'), says: `${app}, ${tName('stage', env)}: ${t('build')} b${number}`, go: t('build.abort'), danger: true, act: () => api.post(`${base}/builds/${number}/cancel`) });
    return (
        <>
            <div class="bar">
                <h1>{t('build')} b{number}</h1><State name={build.state} text={tName('build', build.state)} />
                <span class="dim">{build.by}, <Age at={build.at} />{build.ended_at && <> · {t('rollout.took', { time: duration(build.ended_at - build.at) })}</>} · <Commit id={build.commit} />{build.same_as ? ` · ${t('rollout.sameAs', { n: build.same_as })}` : ''}</span>
                <span class="grow" />
                {!build.ended_at && may(ae?.rights, 'deploy') && <button type="button" class="danger" onClick={cancel}>{t('build.abort')}</button>}
            </div>
            <ErrorBox error={build.error ?? undefined} />
            {build.culprits_of && <p class="dim"><a href={`/apps/${seg(app)}/${seg(env)}/builds/${build.culprits_of}`}>{t('culprits.of', { n: build.culprits_of })}</a></p>}
            <Culprits app={app} env={env} build={build} mayBuild={may(ae?.rights, 'deploy')} />
            <LeftOut rows={build.left_out} />
            <BuildSteps build={build} />
            <Checks build={build} />
            <BuildOutput app={app} env={env} number={number} ended={!!build.ended_at} />
        </>
    );
}
