// A line of figures as small as a word.
const WIDTH = 72;
const HEIGHT = 16;

export function Spark({ points, label }: { points: number[]; label: string }) {
    const most = Math.max(1, ...points);
    const step = WIDTH / (points.length - 1);
    const line = points.map((n, i) => `${i ? 'L' : 'M'}${(i * step).toFixed(1)} ${(HEIGHT - 1 - (n / most) * (HEIGHT - 2)).toFixed(1)}`).join('');
    return <svg class="spark" width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}><path d={line} /></svg>;
}
