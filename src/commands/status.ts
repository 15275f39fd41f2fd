// `wattpact status DIR`: how a gateway or a validator stands, read from its own files, also while it runs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { WattpactError } from '../base/errors.ts';
import { isoSeconds } from '../base/interval.ts';
import { confirmations } from '../contract/life.ts';
import { keptConditions } from '../gateway/conditions.ts';
import { STORE_FILE } from '../gateway/gateway.ts';
import { overrideText, type SiteOverride } from '../gateway/overrides.ts';
import { openGatewayStore } from '../store/gateway.ts';
import { openLedgerStore } from '../store/ledger.ts';
import { readEvidence } from '../validator/evidence.ts';
import { LEDGER_FILE } from '../validator/validator.ts';
import { printJson, printLine } from './output.ts';

const REQUESTS_SHOWN = 10;

export function statusCommand(): Command {
  return new Command('status')
    .description('how a gateway or a validator stands, from its data folder')
    .argument('<dir>', 'data folder of a gateway or a validator')
    .option('--json', 'one JSON document on standard output')
    .action((dir: string, { json }: { json?: true }) => {
      if (existsSync(join(dir, STORE_FILE))) gatewayStatus(join(dir, STORE_FILE), json === true);
      else if (existsSync(join(dir, LEDGER_FILE))) validatorStatus(dir, json === true);
      else {
        throw new WattpactError(
          'usage.status',
          `${dir} is no data folder: it has neither ${STORE_FILE} nor ${LEDGER_FILE}`,
        );
      }
    });
}

function gatewayStatus(file: string, json: boolean): void {
  const store = openGatewayStore(file, { readonly: true });
  try {
    const header = store.highestHeader();
    const requests = store.requests.recent(REQUESTS_SHOWN).map(({ id, kind, interval, sequence, life }) => {
      return { id, kind, interval, sequence, phase: life.phase, confirmations: confirmations(life) };
    });
    const status = {
      role: 'gateway',
      verified: header === null ? null : { height: header.height, time: isoSeconds(header.timeMs) },
      undecided: store.requests.undecided().length,
      outbox: store.outbox.size(),
      leases: store.leases.all().length,
      conditions: keptConditions(store),
      overrides: store.settings.all('override ') as SiteOverride[],
      requests,
    };
    if (json) {
      printJson(status);
      return;
    }
    printLine(
      `verified    ${status.verified === null ? 'nothing yet' : `block ${status.verified.height} of ${status.verified.time}`}`,
    );
    printLine(`undecided   ${status.undecided} requests; ${status.outbox} to send; ${status.leases} leases on devices`);
    for (const { text, sinceMs } of status.conditions) printLine(`trouble     since ${isoSeconds(sinceMs)}: ${text}`);
    for (const override of status.overrides) printLine(`overridden  ${overrideText(override)}, by the ${override.by}`);
    for (const request of requests) {
      printLine(
        `  ${String(request.sequence).padStart(6)}  ${request.kind.padEnd(9)} ${request.phase.padEnd(9)} ${request.confirmations} confirmed  ${request.id.slice(0, 16)}`,
      );
    }
  } finally {
    store.close();
  }
}

function validatorStatus(dir: string, json: boolean): void {
  const store = openLedgerStore(join(dir, LEDGER_FILE), { readonly: true });
  try {
    const head = store.head();
    const status = {
      role: 'validator',
      chain: head?.chain ?? null,
      height: head?.height ?? null,
      time: head === null ? null : isoSeconds(head.timeMs),
      stateHash: head?.stateHash ?? null,
      evidence: readEvidence(dir),
    };
    if (json) {
      printJson(status);
      return;
    }
    for (const { accused, what, file } of status.evidence)
      printLine(`accused     ${accused}: ${what} (${file}; wattpact chain check judges it)`);
    printLine(
      head === null
        ? 'no block yet'
        : `chain ${head.chain}\nblock ${head.height} of ${status.time}, state ${head.stateHash}`,
    );
  } finally {
    store.close();
  }
}
