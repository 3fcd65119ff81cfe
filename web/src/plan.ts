// A step of a plan in the viewer's language, from its kind and arguments.
import { lang, t } from './i18n';
import type { Step } from './types';

export function stepText(step: Pick<Step, 'kind' | 'text' | 'args'>): string {
    const { build = '?', release, from_release: from, to_release: to, share, keep_warm_ms: warm, instances } = step.args ?? {};
    const count = instances?.length ?? 0;
    if (lang.value === 'en')
        return step.text; // the server's own words
    switch (step.kind) {
        case 'build': return t('plan.build', { build });
        case 'prepare': return t('plan.prepare', { release });
        case 'start': return t('plan.start', { count, release });
        case 'await': return t('plan.await', { count, release });
        case 'route': return !release ? t('plan.routeNobody') : share ? t('plan.routeShare', { share: share / 100, release: to }) : t('plan.routeAll', { release });
        case 'drain': return t('plan.drain', { count, release });
        case 'stop': return t('plan.stop', { count });
        case 'finish': return !release ? t('plan.nothing') : from ? t('plan.finishWarm', { release, from, n: Math.round(warm / 1000) }) : t('plan.finish', { release });
        default: return step.text;
    }
}
