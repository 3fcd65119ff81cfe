// 冲突: every pair of the ticked branches, and each with trunk and with what the last environment runs.
import { useState } from 'preact/hooks';
import { visible } from '../ansi';
import { seg } from '../api';
import { ConflictDetail, FactsOutList, pairOf, useFacts } from '../facts';
import { t, tName } from '../i18n';
import { Resolutions, resolveAsk, useResolutions } from '../resolutions';
import { useResource } from '../resource';
import { may } from '../session';
import type { App, Facts, FactsConflict } from '../types';
import { Age, Empty, ErrorBox, Loading, State } from '../ui';

interface Picked {
    title: string;
    conflict: FactsConflict;
}

export function ConflictsPage({ app, env }: { app: string; env: string }) {
    const { data: facts, error, reload } = useFacts(app, env);
    const { data: about } = useResource<App>(`/apps/${seg(app)}`);
    const resolutions = useResolutions(app);
    const [picked, setPicked] = useState<Picked | null>(null);
    const mayBranch = may(about?.rights, 'branch');
    if (!facts)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const chosen = picked && { ...picked, conflict: (picked.conflict.a && picked.conflict.b && pairOf(facts, picked.conflict.a, picked.conflict.b)) || picked.conflict };
    const joined = facts.in.length + facts.contained.length;
    return (
        <>
            <div class="bar">
                <h1>{app} <span class="env-name">{tName('stage', env)}</span> <span class="dim">{t('facts.title')}</span></h1>
                <State name={facts.out.length ? 'failed' : 'done'} text={t('facts.merge', { in: joined, n: facts.ticks.length })} />
                <span class="dim">{t('facts.onto')} {facts.trunk.branch} <code>{facts.trunk.commit.slice(0, 9)}</code> · <Age at={facts.at} /></span>
            </div>
            {facts.ticks.length === 0 && <Empty title={t('app.onlyTrunk')} />}
            <FactsOutList facts={facts} />
            {facts.ticks.length > 0 && <Heat facts={facts} picked={picked} pick={setPicked} />}
            {chosen && <section class="box" aria-live="polite"><h2>{chosen.title}</h2><ConflictDetail conflict={chosen.conflict} />{mayBranch && chosen.conflict.a && chosen.conflict.b && !chosen.conflict.resolved && <p><button type="button" class="primary" onClick={() => resolveAsk(app, [chosen.conflict.a!, chosen.conflict.b!], resolutions.reload)}>{t('resolve.open')}</button></p>}</section>}
            {about && <Resolutions app={about} may={mayBranch} all={resolutions} here={facts.resolutions} />}
        </>
    );
}

// A column a branch, by its number in the order of merging; what has no conflict is said once, by its colour.
function Heat({ facts, picked, pick }: { facts: Facts; picked: Picked | null; pick: (picked: Picked) => void }) {
    const branches = facts.ticks.map((tick) => tick.branch);
    const out = new Set(facts.out.map((row) => row.branch));
    const cell = (title: string, conflict: FactsConflict | undefined) => conflict
        ? <td class={`hot${conflict.resolved ? ' resolved' : ''}${picked?.title === title ? ' picked' : ''}`}><button type="button" aria-label={`${title}: ${t('facts.cell', { files: conflict.file_count, hunks: conflict.hunks })}`} title={`${conflict.resolved ? `${t('resolve.by', { branch: conflict.resolved })}\n` : ''}${title}: ${conflict.files.map((file) => `${file.path} ${file.lines}`).join('\n')}`} onClick={() => pick({ title, conflict })}>{conflict.hunks || conflict.file_count}</button></td>
        : <td class="cold" />;
    return (
        <div class="scroll"><table class="heat">
            <caption class="dim">{t('facts.heat')}</caption>
            <thead><tr><td /><th scope="col">{facts.trunk.branch}</th>{facts.last && <th scope="col">{tName('stage', facts.last.env)}</th>}{branches.map((branch, i) => <th key={branch} scope="col" title={branch}><span class="hidden">{branch}</span><span aria-hidden="true">{i + 1}</span></th>)}</tr></thead>
            <tbody>{branches.map((a, i) => (
                <tr key={a}>
                    <th scope="row"><span class="dim">{i + 1}</span> {visible(a)} {out.has(a) && <State name="failed" text={t('facts.out')} />}</th>
                    {cell(`${a} × ${facts.trunk.branch}`, facts.on_trunk.find((one) => one.branch === a))}
                    {facts.last && cell(`${a} × ${facts.last.env}`, facts.on_live.find((one) => one.branch === a))}
                    {branches.map((b) => (a === b ? <td key={b} class="self" /> : cell(`${a} × ${b}`, pairOf(facts, a, b))))}
                </tr>
            ))}</tbody>
        </table></div>
    );
}
