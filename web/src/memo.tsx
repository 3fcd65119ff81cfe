// A component that is drawn again only when one of its properties is another. (preact/compat has one, and changes what
// onChange means for the whole page.)
import { Component, type ComponentType } from 'preact';

export function memo<P extends object>(Drawn: ComponentType<P>): ComponentType<P> {
    return class extends Component<P> {
        override shouldComponentUpdate(next: Readonly<P>): boolean {
            const before = this.props as Record<string, unknown>;
            const after = next as Record<string, unknown>;
            return [...new Set([...Object.keys(before), ...Object.keys(after)])].some((key) => !Object.is(before[key], after[key]));
        }
        override render() {
            return <Drawn {...(this.props as P)} />;
        }
    };
}
