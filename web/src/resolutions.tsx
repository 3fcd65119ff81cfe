// 解决冲突: branches in which people merge a conflict once; used wherever all of its branches are ticked.
import { visible } from './ansi';
import { api, seg } from './api';
import type { FeedEvent } from './feed';
import { t, tName } from './i18n';
import { useResource, type Resource } from './resource';
import { shell } from './shell';
import type { App, Facts, Resolution } from './types';
import { Age, ask, Copy, ErrorBox, State } from './ui';

export function useResolutions(app: string): Resource<{ resolutions: Resolution[] }> {
    const concerns = (event: FeedEvent) => event.app === app && (event.topic === 'repo' || event.topic === 'facts');
    return useResource(`/apps/${seg(app)}/resolutions`, { concerns });
}

function sidesOf(one: Resolution): string[] {
    return one.sides.map((side) => side.branch);
}

// The conflict of these becomes a branch.
export function resolveAsk(app: string, branches: string[], done: () => void): void {
    ask({
        title: t('resolve.title', { branches: branches.map(visible).join(' × ') }), go: t('resolve.open'),
        says: <p>{t('resolve.says')}</p>,
        act: async () => {
            await api.post(`/apps/${seg(app)}/resolutions`, { branches });
            done();
        },
    });
}

// here: what is known of them in one environment's set.
export function Resolutions({ app, may, all, here }: { app: App; may: boolean; all: Resource<{ resolutions: Resolution[] }>; here: Facts['resolutions'] }) {
    const rows = all.data?.resolutions ?? [];
    const shown = rows.filter((one) => one.state === 'open' || one.state === 'landed' || one.state === 'moved_off').slice(0, 20);
    if (!shown.length)
        return <ErrorBox error={all.error} retry={all.reload} />;
    return (
        <section aria-labelledby="resolutions">
            <h2 id="resolutions">{t('resolve.all')}</h2>
            {shown.map((one) => <Row key={one.id} app={app} one={{ ...one, ...(one.state === 'open' ? known(here, one.branch) : {}) }} may={may} reload={all.reload} />)}
        </section>
    );
}

function known(here: Facts['resolutions'], branch: string): Partial<Resolution> {
    const found = here.find((one) => one.branch === branch);
    return found ? { now: found.state, text: found.text } : {};
}

function Row({ app, one, may, reload }: { app: App; one: Resolution; may: boolean; reload: () => void }) {
    const base = `/apps/${seg(app.name)}/resolutions/${one.id}`;
    const now = one.state === 'open' ? one.now ?? 'open' : one.state;
    const drop = () => ask({
        title: t('resolve.drop'), go: t('resolve.drop'), danger: true,
        says: <p>{t('resolve.dropSays', { branch: one.branch })}</p>,
        act: async () => {
            await api.delete(base);
            reload();
        },
    });
    const fold = (into: string) => ask({
        title: t('resolve.fold', { into }), go: t('resolve.fold', { into }),
        says: <p>{t('resolve.foldSays', { branch: one.branch, into })}</p>,
        act: async () => {
            await api.post(`${base}/fold`, { into });
            reload();
        },
    });
    const begin = shell`git fetch ${app.git} ${one.branch} && git checkout -b ${one.branch} FETCH_HEAD`;
    return (
        <div class="box">
            <p><State name={now === 'used' || now === 'ready' ? 'done' : now === 'waiting' ? 'waiting' : 'failed'} text={tName('resolution', now)} /> <b>{visible(one.branch)}</b> <span class="dim">{sidesOf(one).map(visible).join(' × ')} · {one.by}, <Age at={one.at} /></span></p>
            {one.text && <p class="dim">{visible(one.text)}</p>}
            {now === 'waiting' && <><p>{t('resolve.how')}</p><Copy text={begin} /><Copy text={shell`git commit -a && git push ${app.git} ${one.branch}`} /></>}
            {may && one.state !== 'moved_off' && <p class="buttons">
                {sidesOf(one).map((side) => <button key={side} type="button" class="small" disabled={now === 'waiting'} onClick={() => fold(side)}>{t('resolve.fold', { into: side })}</button>)}
                {one.state === 'open' && <button type="button" class="small" onClick={drop}>{t('resolve.drop')}</button>}
            </p>}
        </div>
    );
}
