// A Go server with a dependency, by its own normal build (Debian's Go, on a base of packages), released twice: nothing is lost
// while the second version rolls out. Needs the public registries.
import { test } from 'node:test';
import { foreignDay } from '../lib/index.mjs';

test('its own build makes it, and its second release rolls out with nothing lost', { timeout: 1_800_000 },
    (t) => foreignDay(t, { name: 'clock', fixture: 'go', change: ['main.go', 'version = "1"', 'version = "2"'], sees: /version 2, request / }));
