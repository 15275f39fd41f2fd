// A consortium written down in YAML becomes keys, a genesis and ready folders. Used by `wattpact init` and by the demo.
// Owns the consortium file's form; what a genesis may say is protocol/genesis.ts.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { Json } from '../base/canonical.ts';
import { canonicalText } from '../base/canonical.ts';
import type { ChainClockTerms } from '../base/clock.ts';
import { PRICE_UC_PER_WH_MAX } from '../base/units.ts';
import { admissionOf, gatewayIdOf } from '../gateway/equipment.ts';
import { generateKey, type Key } from '../keys/files.ts';
import { DEFAULT_TARIFF_RULE } from '../market/tariffs.ts';
import { chainId, type Genesis, parseGenesis, ROUNDS_MAX } from '../protocol/genesis.ts';
import { loadSite } from '../site/load.ts';
import type { LoadedSite } from '../site/types.ts';
import { parseYaml } from '../site/yaml.ts';
import { createVoteLog } from '../store/votes.ts';
import { VOTES_FILE } from '../validator/validator.ts';
import { consortiumProblems } from './consortium-check.ts';

const id = z.string().regex(/^[a-z0-9-]{1,64}$/, 'an id is a-z, 0-9 and -, at most 64 characters');
const minutes = z
  .int()
  .min(0)
  .max(24 * 60);
const price = z.int().min(0).max(PRICE_UC_PER_WH_MAX);

const consortiumSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'a name is a-z, 0-9 and -, at most 32 characters'),
  currency: z.strictObject({ code: z.string().min(1).max(12), unit: z.string().min(1).max(32) }),
  interval: z.strictObject({
    minutes: minutes.min(1).default(15),
    gateOpenMinutes: minutes.default(60),
    requestMinutes: minutes.default(10),
    gateCloseMinutes: minutes.default(5),
    settlementMinutes: minutes.default(5),
  }),
  rounds: z.int().min(1).max(ROUNDS_MAX).default(1),
  settlement: z.strictObject({ shortfallPenaltyUcPerWh: price, surplusPenaltyUcPerWh: price }),
  tariffRule: z
    .strictObject({ distanceUcPerWhKm: price, energyUcPerWh: price, loadingPercent: z.int().min(0).max(1000) })
    .default(DEFAULT_TARIFF_RULE),
  validators: z.array(id).min(1).max(128),
  operators: z.array(id).min(1).max(64),
  utilities: z.array(id).min(1).max(64),
  feeders: z
    .array(
      z.strictObject({
        id,
        operator: id,
        utility: id,
        location: z.strictObject({ latitude: z.number().min(-90).max(90), longitude: z.number().min(-180).max(180) }),
        buses: z
          .array(
            z.strictObject({
              id,
              parent: id.nullable(),
              capacityW: z.int().min(0).max(4_000_000_000).nullable().default(null),
              tariffUcPerWh: price.default(0),
              lossPpm: z.int().min(0).max(1_000_000).default(0),
            }),
          )
          .min(1),
      }),
    )
    .min(1),
  sites: z
    .array(
      z.strictObject({
        file: z.string().min(1).max(500),
        feeder: id,
        bus: id,
        /** Uncertainty of a delivery that is free of penalty, as the operator certified the meter. */
        uncertaintyWhMax: z.int().min(0).max(1_000_000).default(50),
      }),
    )
    .default([]),
});
export type ConsortiumFile = z.infer<typeof consortiumSchema>;

export interface ConsortiumSite {
  readonly gateway: string;
  readonly loaded: LoadedSite;
  readonly keyFile: string;
  readonly dataDir: string;
}

export interface Consortium {
  readonly genesis: Genesis;
  readonly genesisFile: string;
  /** Key files by party. */
  readonly keyFiles: ReadonlyMap<string, string>;
  readonly keys: ReadonlyMap<string, Key>;
  readonly sites: readonly ConsortiumSite[];
  readonly dir: string;
}

/** The consortium file as written; throws `consortium.invalid` with every error as `file:line:column`. */
export function parseConsortium(text: string, file: string): ConsortiumFile {
  return parseYaml(text, file, { what: 'consortium', schema: consortiumSchema, crossCheck: consortiumProblems });
}

/** A fast validator batch and a wide window: what suits one network of up to some thousand sites. */
const LIMITS: Genesis['limits'] = {
  batchBytesMax: 1024 * 1024,
  batchRequestsMax: 1000,
  clockSkewMsMax: 10_000,
  dueOperationsMax: 1000,
  validForMsMax: 2 * 3_600_000,
};
const TRUST_PERIOD_MS = 30 * 24 * 3_600_000;

/**
 * Makes keys, vote logs and genesis below `dir` (which must not hold them yet: keys are never overwritten).
 * `keys/<party>.pem`, `validators/<id>/`, `gateways/<id>/`, `genesis.json`.
 */
export function makeConsortium(options: {
  consortium: ConsortiumFile;
  /** The consortium file: site files are relative to it. */
  file: string;
  dir: string;
  clock: ChainClockTerms;
}): Consortium {
  const { consortium, file, dir, clock } = options;
  const keys = new Map<string, Key>();
  const keyFiles = new Map<string, string>();
  const keyOf = (party: string): string => {
    const keyFile = join(dir, 'keys', `${party}.pem`);
    const key = generateKey(keyFile);
    keys.set(party, key);
    keyFiles.set(party, keyFile);
    return key.publicKey;
  };
  const party = (name: string) => ({ id: name, publicKey: keyOf(name) });

  const sites = consortium.sites.map(({ file: siteFile, ...place }) => {
    return { loaded: loadSite(resolve(dirname(file), siteFile)), ...place };
  });
  const minuteMs = 60_000;
  const { interval } = consortium;
  const withoutChain: Omit<Genesis, 'chain'> = {
    clock: { originMs: clock.originMs, rate: clock.rate, wallOriginMs: clock.wallOriginMs },
    currency: consortium.currency,
    feeders: consortium.feeders.map(({ location, buses, ...feeder }) => ({
      ...feeder,
      buses,
      latitudeDeg10: Math.round(location.latitude * 10),
      longitudeDeg10: Math.round(location.longitude * 10),
    })),
    gateways: sites.map(({ loaded, feeder, bus, uncertaintyWhMax }) => {
      const gateway = gatewayIdOf(loaded.site);
      return admissionOf(loaded.site, { gateway, publicKey: keyOf(gateway), feeder, bus, uncertaintyWhMax });
    }),
    interval: {
      lengthMs: interval.minutes * minuteMs,
      gateOpenMs: interval.gateOpenMinutes * minuteMs,
      requestMs: interval.requestMinutes * minuteMs,
      gateCloseMs: interval.gateCloseMinutes * minuteMs,
      settlementMs: interval.settlementMinutes * minuteMs,
    },
    // The bound between clocks is meant in wall time: chain time that runs faster leaves more of it.
    limits: { ...LIMITS, clockSkewMsMax: LIMITS.clockSkewMsMax * clock.rate },
    name: consortium.name,
    operators: consortium.operators.map(party),
    operatorThreshold: Math.floor(consortium.operators.length / 2) + 1,
    rounds: consortium.rounds,
    settlement: consortium.settlement,
    tariffRule: consortium.tariffRule,
    trustPeriodMs: TRUST_PERIOD_MS,
    utilities: consortium.utilities.map(party),
    validators: consortium.validators.map(party),
  };
  const genesis = parseGenesis({ ...withoutChain, chain: chainId(withoutChain) });

  for (const { id: validator, publicKey } of genesis.validators) {
    const folder = validatorDir(dir, validator);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    createVoteLog(join(folder, VOTES_FILE), publicKey);
  }
  const genesisFile = join(dir, 'genesis.json');
  writeFileSync(genesisFile, canonicalText(genesis as unknown as Json), { mode: 0o644 });
  return {
    genesis,
    genesisFile,
    keyFiles,
    keys,
    dir,
    sites: sites.map(({ loaded }) => {
      const gateway = gatewayIdOf(loaded.site);
      const dataDir = join(dir, 'gateways', gateway);
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      return { gateway, loaded, keyFile: keyFiles.get(gateway) as string, dataDir };
    }),
  };
}

export function validatorDir(dir: string, validator: string): string {
  return join(dir, 'validators', validator);
}
