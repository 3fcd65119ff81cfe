// Who this process is: Slipway says so in the environment of every instance. A secret is optional: the
// shop opens without one and says on its page that it cannot take payments.
import { existsSync } from 'node:fs';

export function identity(env = process.env) {
    return {
        app: env.SLIPWAY_APP ?? 'shop',
        env: env.SLIPWAY_ENV ?? 'local',
        release: env.SLIPWAY_RELEASE ?? '0',
        instance: env.SLIPWAY_INSTANCE ?? `local.${process.pid}`,
        payments: existsSync('/run/slipway/secrets/PAYMENT_KEY'),
    };
}
