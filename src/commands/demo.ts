// `wattpact demo`: a neighbourhood on simulated devices, on the terminal and on a page.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { type DemoOptions, type Part, runDemo } from '../demo/demo.ts';
import { EXIT_NO, printJson, printLine } from './output.ts';

/** Shorter intervals leave no time for five phases and a control loop of one second. */
const INTERVAL_S_MIN = 10;
const PAGE_PORT = 8460;

interface Flags {
  readonly interval: number;
  readonly intervals?: number;
  readonly data?: string;
  readonly broker?: string;
  readonly kill?: Part;
  readonly page: number | false;
  readonly keep?: string;
  readonly json?: true;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min} to ${max} is wanted.`);
    }
    return value;
  };
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('four sites, four validators, one feeder: measured days on simulated devices, live')
    .option(
      '--interval <seconds>',
      'wall seconds that an interval of 15 minutes takes',
      wholeNumber(INTERVAL_S_MIN, 900),
      20,
    )
    .option('--intervals <n>', 'stop after so many settled intervals', wholeNumber(1, 1000))
    .option('--data <dir>', 'replay the CSV series of a folder instead of the shipped days')
    .option('--broker <url>', "use this MQTT broker (mqtt://host:port) instead of the validators' own")
    .addOption(
      new Option('--kill <part>', 'end a part once, after the first settled interval').choices([
        'primary',
        'gateway',
        'broker',
        'validator',
      ]),
    )
    .option('--page <port>', 'port of the page on 127.0.0.1 (0 = any free one)', wholeNumber(0, 65_535), PAGE_PORT)
    .option('--no-page', 'without the page')
    .option('--keep <dir>', 'keep keys, ledgers, stores and logs in this new folder')
    .option('--json', 'print one JSON document at the end (and the story on standard error)')
    .action(demo);
}

function newFolder(dir: string): string {
  if (existsSync(dir))
    throw new WattpactError('usage.keep', `${dir} exists already`, { hint: 'Name a folder that does not exist' });
  return resolve(dir);
}

async function demo(flags: Flags): Promise<void> {
  const say = flags.json === true ? (line: string) => process.stderr.write(`${line}\n`) : printLine;
  const options: DemoOptions = {
    intervalS: flags.interval,
    intervals: flags.intervals ?? null,
    dataDir: flags.data ?? null,
    broker: flags.broker ?? null,
    kill: flags.kill ?? null,
    keepIn: flags.keep === undefined ? null : newFolder(flags.keep),
    // With --json a program is watching: it needs no page unless it asks for one, and must not fail on a busy port.
    pagePort: flags.page === false || (flags.json === true && flags.page === PAGE_PORT) ? null : flags.page,
    say,
  };
  const ended = new Promise<void>((end) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end());
  });
  const { outcome, problems } = await runDemo(options, ended);
  if (flags.json === true) printJson(outcome);
  else
    say(`chain: ${outcome.chain.height} blocks, ${outcome.chain.verified ? 'verified from genesis' : 'NOT verified'}`);
  if (options.intervals === null) return;
  for (const problem of problems) process.stderr.write(`wattpact: ${problem}\n`);
  if (problems.length > 0) process.exitCode = EXIT_NO;
}
