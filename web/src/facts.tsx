// What is known of a set of branches before anybody clicks: who is out because of whom, and whom leaving one out lets in.
import { visible } from './ansi';
import { seg } from './api';
import type { FeedEvent } from './feed';
import { t, tName } from './i18n';
import { useResource, type Resource } from './resource';
import type { Facts, FactsConflict, FactsOut } from './types';
import { Commit, State } from './ui';

export function useFacts(app: string, env: string | null): Resource<Facts> {
    const concerns = (event: FeedEvent) => event.app === app && event.env === env && event.topic === 'facts';
    return useResource<Facts>(env === null ? null : `/apps/${seg(app)}/envs/${seg(env)}/conflicts`, { concerns });
}

// Everybody who has a part in a branch being left out.
export function touched(facts: Facts | undefined): Set<string> {
    return new Set((facts?.out ?? []).flatMap((row) => [row.branch, ...row.against]));
}

// The conflict of two, in either order.
export function pairOf(facts: Facts, a: string, b: string): FactsConflict | undefined {
    return facts.pairs.find((one) => (one.a === a && one.b === b) || (one.a === b && one.b === a));
}

function names(list: string[]): string {
    return list.map(visible).join(', ');
}

// In which lines, and since which commits of whom: both have to talk.
export function ConflictDetail({ conflict }: { conflict: FactsConflict }) {
    return (
        <>
            <ul class="plain mono">{conflict.files.map((file) => <li key={file.path}>{visible(file.path)} <span class="dim">{file.lines}</span></li>)}{conflict.file_count > conflict.files.length && <li>{t('facts.moreFiles', { n: conflict.file_count - conflict.files.length })}</li>}</ul>
            <ul class="plain">{conflict.first.map((one) => <li key={one.id}><Commit id={one.id} /> <b>{visible(one.author)}</b> {visible(one.subject)}</li>)}</ul>
        </>
    );
}

function conflictsOf(facts: Facts, row: FactsOut): FactsConflict[] {
    if (row.why === 'trunk')
        return facts.on_trunk.filter((one) => one.branch === row.branch);
    return row.why === 'pair' ? row.against.flatMap((other) => pairOf(facts, row.branch, other) ?? []) : [];
}

// Who was not built, by the environment's policy.
export function LeftOut({ rows }: { rows: FactsOut[] | null | undefined }) {
    if (!rows?.length)
        return null;
    return <ul class="box warn plain">{rows.map((row) => <li key={row.branch}>{t('facts.leftOut', { branch: row.branch, against: names(row.against) })}</li>)}</ul>;
}

// Who is out, and why; with what leaving another one out would bring. leave: a button that does so.
export function FactsOutList({ facts, leave }: { facts: Facts; leave?: ((branch: string) => void) | undefined }) {
    return (
        <>
            {facts.out.map((row) => (
                <div key={row.branch} class="box bad">
                    <p><State name="failed" text={t('facts.out')} /> <b>{visible(row.branch)}</b> {t(`facts.${row.why}`, { against: names(row.against) })} {leave && <button type="button" class="small" onClick={() => leave(row.branch)}>{t('facts.leave', { branch: row.branch })}</button>}</p>
                    {conflictsOf(facts, row).map((one, i) => <ConflictDetail key={i} conflict={one} />)}
                </div>
            ))}
            {facts.gone.length > 0 && <p class="box bad">{t('facts.gone', { names: names(facts.gone) })}</p>}
            {facts.frees.filter((row) => row.frees.length > 0).map((row) => (
                <p key={row.branch} class="dim">{t('facts.frees', { branch: row.branch, frees: names(row.frees) })}{row.costs.length > 0 && ` ${t('facts.costs', { costs: names(row.costs) })}`} {leave && <button type="button" class="small" onClick={() => leave(row.branch)}>{t('facts.leave', { branch: row.branch })}</button>}</p>
            ))}
            {facts.on_live.length > 0 && facts.last && <p class="box">{t('facts.live', { names: names(facts.on_live.map((one) => one.branch!)), env: tName('stage', facts.last.env) })}</p>}
        </>
    );
}
