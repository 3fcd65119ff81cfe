// A step of a plan in the viewer's language, from its kind and arguments.
import { lang, t } from './i18n';
import type { Step } from './types';

function releaseOf(step: { text: string; args?: any }): string {
    return /\br(\d+)\b/.exec(step.text)?.[1] ?? '?';
}

export function stepText(step: Pick<Step, 'kind' | 'text' | 'args'>): string {
    const args = step.args ?? {};
    const release = releaseOf(step);
    const count = args.instances?.length ?? Number(/\b(\d+) (?:warm )?instances?\b/.exec(step.text)?.[1] ?? 0);
    if (lang.value === 'en')
        return step.text;
    switch (step.kind) {
        case 'build': return t('plan.build', { build: /\bb(\d+)\b/.exec(step.text)?.[1] ?? '?' });
        case 'prepare': return t('plan.prepare', { release });
        case 'start': return t('plan.start', { count, release });
        case 'await': return t('plan.await', { count, release });
        case 'route': {
            const share = /([\d.]+) % /.exec(step.text)?.[1];
            return release === '?' ? t('plan.routeNobody') : share ? t('plan.routeShare', { share: Number(share), release }) : t('plan.routeAll', { release });
        }
        case 'drain': return t('plan.drain', { count, release });
        case 'stop': return count ? t('plan.stop', { count }) : t('plan.stopAll');
        case 'finish': {
            const warm = /keep r(\d+) warm for (\d+) s/.exec(step.text);
            return release === '?' ? t('plan.nothing') : warm ? t('plan.finishWarm', { release, from: warm[1]!, n: warm[2]! }) : t('plan.finish', { release });
        }
        default: return step.text;
    }
}
