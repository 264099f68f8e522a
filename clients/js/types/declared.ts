/** Checks that `index.d.ts` declares exactly what the modules export. */

import type * as declared from '../index.js';
import type * as real from '../sayline.js';

type Same<One, Other> = [Exclude<One, Other>, Exclude<Other, One>] extends [never, never] ? true : false;

declare const modules: typeof real;
export const fitting: typeof declared = modules;
export const complete: Same<keyof typeof real, keyof typeof declared> = true;
