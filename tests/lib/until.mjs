// Waiting, the only way tests do it: for something, not for a time.

// Call condition until it gives something true, and return that. Errors it throws count as "not yet"; the
// last one is told when the deadline passes. first, most: between two calls, in ms. SLIPWAY_TEST_PATIENCE: so many times
// longer, for machines that are emulated; they are asked less often, too, since what is waited for needs the processor.
export const PATIENCE = Number(process.env.SLIPWAY_TEST_PATIENCE ?? 1);
export async function until(condition, deadlineMs, what, { first = 5, most = 100 } = {}) {
    const end = performance.now() + deadlineMs * PATIENCE;
    let last = null;
    for (let pause = first; ; pause = Math.min(pause * 1.5, most * PATIENCE)) {
        try {
            const value = await condition();
            if (value)
                return value;
            last = null;
        } catch (error) {
            last = error;
        }
        if (performance.now() >= end)
            throw new Error(`not within ${deadlineMs} ms: ${what}${last ? ` (${last.message})` : ''}`, { cause: last });
        await new Promise((resolve) => setTimeout(resolve, pause));
    }
}

// Something that must stay true for a time: fails as soon as it is not.
export async function holds(condition, durationMs, what) {
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
        if (!await condition())
            throw new Error(`did not hold for ${durationMs} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

// Of a stream of anything: the first that fits.
export async function first(stream, fits, deadlineMs, what) {
    let timer;
    const late = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what}`)), deadlineMs);
    });
    const search = (async () => {
        for await (const item of stream)
            if (fits(item))
                return item;
        throw new Error(`the stream ended: ${what}`);
    })();
    try {
        return await Promise.race([search, late]);
    } finally {
        clearTimeout(timer);
        search.catch(() => {});
    }
}
