// A Spring Boot jar, by its own normal build (Maven, on a base of packages), released twice: nothing is lost
// while the second version rolls out. Needs the public registries.
import { test } from 'node:test';
import { foreignDay } from '../lib/index.mjs';

test('its own build makes it, and its second release rolls out with nothing lost', { timeout: 1_800_000 },
    (t) => foreignDay(t, { name: 'greeting', fixture: 'spring', change: ['src/main/java/hello/Greeting.java', 'VERSION = "1"', 'VERSION = "2"'], sees: /"version":"2"/ }));
