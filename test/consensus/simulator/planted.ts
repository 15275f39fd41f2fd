// `node --import` this: a process that runs with the planted bug named by WATTPACT_PLANTED.

import { plant } from './mutants.ts';

if (process.env.WATTPACT_PLANTED) plant(process.env.WATTPACT_PLANTED);
