// Back to a release that ran here: said, asked once, done.
import { useState } from 'preact/hooks';
import { api, seg } from './api';
import { t, tName } from './i18n';
import { go } from './route';
import type { AppEnv } from './types';
import { ask } from './ui';

function Choice({ ae, first, onChoose }: { ae: AppEnv; first: number; onChoose: (release: number) => void }) {
    const [release, setRelease] = useState(first);
    const env = tName('stage', ae.env);
    return (
        <>
            <label class="field"><span>{t('rollout.rollbackTo', { app: ae.app, env })}</span>
                <select autofocus value={release} onChange={(event) => {
                    const number = Number(event.currentTarget.value);
                    setRelease(number);
                    onChoose(number);
                }}>
                    {ae.targets.map((number) => <option key={number} value={number}>r{number}</option>)}
                </select>
            </label>
            <p>{t('rollout.rollbackSays', { release, from: ae.live_release, env })}</p>
        </>
    );
}

export function rollbackAsk(ae: AppEnv, first = ae.targets[0]): void {
    if (!first)
        return;
    const base = `/apps/${seg(ae.app)}`;
    let chosen = first;
    ask({
        title: t('app.rollback'),
        danger: true,
        says: <Choice ae={ae} first={first} onChoose={(release) => (chosen = release)} />,
        go: t('app.rollback'),
        act: async () => {
            const { rollout } = await api.post(`${base}/envs/${seg(ae.env)}/rollouts`, { kind: 'rollback', release: chosen });
            go(`${base}/${seg(ae.env)}/rollouts/${rollout.id}`);
        },
    });
}
