// The routes of the open API: what each answers, who may see it, and from where in the ledger it comes. Reads only. Whether an asker may see
// a subject is the ledger's own rule (ledger/visibility.ts); the document (api-document.ts) is made from this table.

import { z } from 'zod';
import { certifiedSchema } from '../ledger/certified.ts';
import { clearingDocumentSchema } from '../ledger/clearing-file.ts';
import { historyPage } from '../ledger/history.ts';
import { proofFile, proofFileSchema } from '../ledger/prove.ts';
import { shareOf, shareSchema } from '../ledger/share.ts';
import type { Changes } from '../ledger/succession.ts';
import type { LeafProof, Ledger } from '../ledger/types.ts';
import type { Subject } from '../ledger/visibility.ts';
import { hashSchema, idSchema, type Sign, saltSchema } from '../protocol/envelope.ts';
import { admissionSchema, feederSchema, genesisSchema } from '../protocol/genesis.ts';
import { attest, headerSchema } from '../protocol/header.ts';
import { clearingSchema, noticeSchema, settlementSchema } from '../protocol/replies.ts';
import { isRequestKind, type RequestKind } from '../protocol/requests.ts';

/** Headers in one answer. */
const HEADERS_MAX = 100;
/** Intervals that one answer may speak of: a week of quarter hours. */
const INTERVALS_MAX = 672;
/** Changes of the validators in one answer. */
const CHANGES_MAX = 16;

export interface Sources {
  readonly self: string;
  readonly ledger: Ledger;
  readonly sign: Sign;
  readonly changes: Changes;
}

const wholeSchema = z.int().min(0);
const heightSchema = wholeSchema.describe('height of a block');
const intervalSchema = wholeSchema
  .max(100_000_000)
  .describe('number of an interval: floor(instant in ms / length in ms)');

/** Parts of paths and questions, by name. */
export const PARAMETERS = {
  party: idSchema.describe('id of a gateway, operator, utility or validator'),
  feeder: idSchema.describe('id of a feeder'),
  request: hashSchema.describe('id of a request'),
  height: heightSchema,
  interval: intervalSchema,
  from: wholeSchema
    .optional()
    .describe(
      'first height, or first interval; without it the first there is of heights, and of intervals as many as fit before `until`',
    ),
  until: wholeSchema.optional().describe('end of the intervals, exclusive; without it up to the newest'),
  limit: z.int().min(1).max(HEADERS_MAX).default(HEADERS_MAX).describe('most entries wanted'),
  kinds: z
    .string()
    .regex(/^[a-z.]+(,[a-z.]+)*$/, 'must be kinds of requests with commas between, such as forecast,offer')
    .optional()
    .describe('kinds of requests wanted, with commas between; without it all'),
} as const;
export type ParameterName = keyof typeof PARAMETERS;
export type Parameters = { readonly [Name in ParameterName]: z.output<(typeof PARAMETERS)[Name]> };

// ---------------------------------------------------------------------- what answers look like

const envelopeSchema = z.strictObject({
  body: z.record(z.string(), z.unknown()),
  kind: z.string(),
  signature: z.string(),
  signer: idSchema,
});
const roleSchema = z.enum(['validator', 'gateway', 'operator', 'utility']);
const keySchema = z.strictObject({ id: idSchema, publicKey: z.string() });
const kept = <Schema extends z.ZodType>(leaf: Schema) => z.strictObject({ height: z.int(), leaf });
const hashes = z.array(hashSchema);

const chainSchema = z.strictObject({
  /** The header of the newest block, attested by this validator. */
  attestation: envelopeSchema,
  chain: idSchema,
  clock: genesisSchema.shape.clock,
  currency: genesisSchema.shape.currency,
  interval: genesisSchema.shape.interval,
  keptFrom: z.int(),
  validator: idSchema,
  validators: z.array(keySchema),
});
export const certifiedHeaderSchema = z.strictObject({
  attestation: envelopeSchema,
  commits: z.array(z.unknown()),
  engine: z.string(),
});
const placeSchema = z.strictObject({
  id: idSchema,
  latitudeDeg10: z.int(),
  longitudeDeg10: z.int(),
  operator: idSchema,
  utility: idSchema,
});
const tariffSchema = clearingDocumentSchema.shape.tariff;
const gridSchema = z.strictObject({ feeder: feederSchema, tariff: tariffSchema });
const partySchema = z.strictObject({
  admission: admissionSchema.nullable(),
  id: idSchema,
  lastSequence: z.int(),
  publicKey: z.string().nullable(),
  role: roleSchema,
});
export const accountAnswerSchema = z.strictObject({
  attestation: envelopeSchema,
  balanceUc: z.string(),
  party: idSchema,
  /** Of the entry `account/all/<party>` under the header's `stateHash`. */
  proof: z.strictObject({
    bucketIndex: z.int(),
    bucketPath: hashes,
    entries: z.int(),
    entryIndex: z.int(),
    entryPath: hashes,
    key: z.string(),
    value: z.string(),
  }),
});
const historySchema = z.strictObject({
  keptFrom: z.int(),
  records: z.array(certifiedSchema),
  untilHeight: z.int(),
});
const outcomesSchema = z.strictObject({
  notices: z.array(kept(noticeSchema)),
  settlements: z.array(kept(settlementSchema)),
});
const blockSchema = z.strictObject({
  batch: z.strictObject({ requests: z.array(envelopeSchema), timeMs: z.int() }),
  certificate: z.strictObject({
    commits: z.array(z.unknown()),
    engine: z.string(),
    engineHeight: z.int(),
    proposer: z.string(),
    view: z.int(),
  }),
  clearings: z.array(clearingDocumentSchema),
  header: headerSchema,
  results: z.array(z.strictObject({ leaf: z.unknown(), salt: saltSchema })),
});

/** Answers that have a name in the document. */
export const ANSWERS = {
  Account: accountAnswerSchema,
  Block: blockSchema,
  CertifiedHeader: certifiedHeaderSchema,
  CertifiedLeaf: certifiedSchema,
  Chain: chainSchema,
  Changes: z.strictObject({ changes: z.array(certifiedSchema) }),
  Clearing: clearingDocumentSchema,
  Feeders: z.strictObject({ feeders: z.array(placeSchema) }),
  Grid: gridSchema,
  Header: headerSchema,
  Headers: z.strictObject({ headers: z.array(headerSchema) }),
  History: historySchema,
  Notice: noticeSchema,
  OpenApi: z.record(z.string(), z.unknown()),
  Outcomes: outcomesSchema,
  Party: partySchema,
  Proof: proofFileSchema,
  Proofs: z.strictObject({ proofs: z.array(proofFileSchema) }),
  Settlement: settlementSchema,
  Share: shareSchema,
  Sites: z.strictObject({ sites: z.array(admissionSchema) }),
  Summaries: z.strictObject({ summaries: z.array(kept(clearingSchema)) }),
  Summary: clearingSchema,
} as const;
export type AnswerName = keyof typeof ANSWERS;

// ---------------------------------------------------------------------- the table

export interface Route {
  /** With `{names}` of parameters. */
  readonly path: string;
  readonly what: string;
  readonly answer: AnswerName;
  /** Parameters after the question mark. */
  readonly question: readonly ParameterName[];
  /** Whose it is; validators see everything. `validators`: nobody else does. */
  readonly about: (parameters: Parameters) => Subject | 'validators';
  /** What it takes out of an address's allowance. */
  readonly cost: number;
  /** The answer; null if there is no such thing. Throws `api.*` or `ledger.proof` for what cannot be answered. */
  readonly find: (sources: Sources, parameters: Parameters, asker: string | null) => unknown;
}

const everybody = (): Subject => ({ about: 'everybody' });
const ofParty = ({ party }: Parameters): Subject => ({ about: 'party', party });
const ofMarket = ({ feeder }: Parameters): Subject => ({ about: 'market', feeder });

/** The proof in the form that `chain check` takes; null for what is not there. */
function proof(ledger: Ledger, found: LeafProof | null): unknown {
  return found === null ? null : proofFile(ledger, found);
}

/** Intervals `[from, until)`, at most so many; without `from` the last before `until`, without both the newest. */
function range(ledger: Ledger, { from, until }: Parameters): readonly [number, number] {
  const { gateOpenMs, lengthMs } = ledger.genesis.interval;
  const end = until ?? (from === undefined ? intervalOfHead(ledger) + Math.ceil(gateOpenMs / lengthMs) + 1 : Infinity);
  const first = from ?? Math.max(0, end - INTERVALS_MAX);
  return [first, Math.min(end, first + INTERVALS_MAX)];
}

function intervalOfHead(ledger: Ledger): number {
  return Math.floor(ledger.head().timeMs / ledger.genesis.interval.lengthMs);
}

function kindsOf({ kinds }: Parameters): readonly RequestKind[] {
  return (kinds ?? 'forecast,demand,offer,delivery,correction').split(',').filter(isRequestKind);
}

export const ROUTES: readonly Route[] = [
  {
    path: '/v1/openapi.json',
    what: 'this document',
    answer: 'OpenApi',
    question: [],
    about: everybody,
    cost: 1,
    // api.ts has it ready.
    find: () => null,
  },
  {
    path: '/v1/chain',
    what: 'the chain, its validators, and the newest block as this validator attests it',
    answer: 'Chain',
    question: [],
    about: everybody,
    cost: 1,
    find: ({ self, ledger, sign }) => ({
      attestation: attest(ledger.head(), self, sign),
      chain: ledger.genesis.chain,
      clock: ledger.genesis.clock,
      currency: ledger.genesis.currency,
      interval: ledger.genesis.interval,
      keptFrom: ledger.keptFrom(),
      validator: self,
      validators: [...ledger.validators()].map(([id, publicKey]) => ({ id, publicKey })),
    }),
  },
  {
    path: '/v1/headers',
    what: `headers of blocks from a height on, at most ${HEADERS_MAX}`,
    answer: 'Headers',
    question: ['from', 'limit'],
    about: everybody,
    cost: 2,
    find: ({ ledger }, { from = 0, limit }) => {
      const first = Math.max(from, ledger.keptFrom());
      return { headers: ledger.headers(first, first + limit) };
    },
  },
  {
    path: '/v1/headers/{height}',
    what: "a header with this validator's attestation, and the commits on the block above, which certify it (none for the newest)",
    answer: 'CertifiedHeader',
    question: [],
    about: everybody,
    cost: 2,
    find: ({ self, ledger, sign }, { height }) => {
      const [header] = ledger.headers(height, height + 1);
      if (header === undefined) return null;
      const above = ledger.certificate(height + 1);
      return {
        attestation: attest(header, self, sign),
        commits: above?.commits ?? [],
        engine: above?.engine ?? '',
      };
    },
  },
  {
    path: '/v1/changes',
    what: 'changes of the validators from a height on, each certified: what a light client follows',
    answer: 'Changes',
    question: ['from'],
    about: everybody,
    cost: 2,
    find: ({ changes }, { from = 0 }) => ({ changes: changes(from, CHANGES_MAX) }),
  },
  {
    path: '/v1/feeders',
    what: 'the feeders, with their place to a tenth of a degree',
    answer: 'Feeders',
    question: [],
    about: everybody,
    cost: 1,
    find: ({ ledger }) => ({
      feeders: ledger.feeders().flatMap((id) => {
        const feeder = ledger.feeder(id, intervalOfHead(ledger));
        if (feeder === null) return [];
        const { latitudeDeg10, longitudeDeg10, operator, utility } = feeder;
        return [{ id, latitudeDeg10, longitudeDeg10, operator, utility }];
      }),
    }),
  },
  {
    path: '/v1/feeders/{feeder}/summaries',
    what: `public summaries of clearings (totals over at least 5 gateways), at most ${INTERVALS_MAX} intervals`,
    answer: 'Summaries',
    question: ['from', 'until'],
    about: everybody,
    cost: 4,
    find: ({ ledger }, parameters) => ({
      summaries: ledger.leavesOf('clearing', parameters.feeder, ...range(ledger, parameters)),
    }),
  },
  {
    path: '/v1/feeders/{feeder}/summaries/{interval}',
    what: 'one of them with its proof',
    answer: 'Proof',
    question: [],
    about: everybody,
    cost: 10,
    find: ({ ledger }, { feeder, interval }) => proof(ledger, ledger.summaryOf(feeder, interval)),
  },
  {
    path: '/v1/feeders/{feeder}/clearings/{interval}',
    what: 'a clearing in full with its certificate: orders by pseudonym, fills, flows, prices, trades',
    answer: 'Clearing',
    question: [],
    about: ofMarket,
    cost: 10,
    find: ({ ledger }, { feeder, interval }) => ledger.clearing(feeder, interval),
  },
  {
    path: '/v1/feeders/{feeder}/grid/{interval}',
    what: "a feeder's buses and lines and the utility's tariff, as they stand now for an interval",
    answer: 'Grid',
    question: [],
    about: ofMarket,
    cost: 10,
    find: ({ ledger }, { feeder: id, interval }) => {
      const feeder = ledger.feeder(id, interval);
      return feeder === null ? null : { feeder, tariff: ledger.tariff(id, interval) };
    },
  },
  {
    path: '/v1/feeders/{feeder}/sites',
    what: 'admissions of the sites of a feeder, those that the asker may see',
    answer: 'Sites',
    question: [],
    about: ofMarket,
    cost: 10,
    find: ({ ledger }, { feeder }, asker) => ({
      sites: ledger.sites(feeder).filter(({ gateway }) => ledger.maySee(asker, { about: 'party', party: gateway })),
    }),
  },
  {
    path: '/v1/parties/{party}',
    what: "a party's key, role, last sequence, and a site's admission",
    answer: 'Party',
    question: [],
    about: ofParty,
    cost: 1,
    find: ({ ledger }, { party }) => {
      const known = ledger.party(party);
      if (known === null) return null;
      return { ...known, admission: ledger.site(party), lastSequence: ledger.lastSequence(party) };
    },
  },
  {
    path: '/v1/parties/{party}/account',
    what: "a party's account with its proof under the newest header",
    answer: 'Account',
    question: [],
    about: ofParty,
    cost: 2,
    find: ({ self, ledger, sign }, { party }) => {
      const account = ledger.account(party);
      if (account === null) return null;
      return {
        attestation: attest(ledger.head(), self, sign),
        balanceUc: account.balanceUc,
        party,
        proof: ledger.accountProof(party),
      };
    },
  },
  {
    path: '/v1/parties/{party}/records',
    what: "a party's recorded requests from a height on, each certified; ask again from `untilHeight`",
    answer: 'History',
    question: ['from', 'kinds'],
    about: ofParty,
    cost: 10,
    find: ({ ledger }, parameters) => historyPage(ledger, parameters.party, parameters.from ?? 0, kindsOf(parameters)),
  },
  {
    path: '/v1/parties/{party}/records/{request}',
    what: "the verdict on one of a party's requests, with its proof",
    answer: 'Proof',
    question: [],
    about: ofParty,
    cost: 4,
    find: ({ ledger }, { party, request }) => {
      const found = ledger.proofOf(request);
      const { leaf } = found?.proof ?? {};
      return leaf?.kind === 'verdict' && leaf.signer === party ? proof(ledger, found) : null;
    },
  },
  {
    path: '/v1/parties/{party}/outcomes',
    what: `a site's notices and settlements, without proofs, at most ${INTERVALS_MAX} intervals`,
    answer: 'Outcomes',
    question: ['from', 'until'],
    about: ofParty,
    cost: 4,
    find: ({ ledger }, parameters) => ({
      notices: ledger.leavesOf('notice', parameters.party, ...range(ledger, parameters)),
      settlements: ledger.leavesOf('settlement', parameters.party, ...range(ledger, parameters)),
    }),
  },
  {
    path: '/v1/parties/{party}/notices/{interval}',
    what: "a site's notice of an interval (position, trades), with its proof",
    answer: 'Proof',
    question: [],
    about: ofParty,
    cost: 4,
    find: ({ ledger }, { party, interval }) => proof(ledger, ledger.noticeOf(party, interval)),
  },
  {
    path: '/v1/parties/{party}/settlements/{interval}',
    what: "a site's settlements of an interval, the first and each that replaced it, with their proofs",
    answer: 'Proofs',
    question: [],
    about: ofParty,
    cost: 4,
    find: ({ ledger }, { party, interval }) => {
      const found = ledger.settlementsOf(party, interval);
      return found.length === 0 ? null : { proofs: found.map((one) => proofFile(ledger, one)) };
    },
  },
  {
    path: '/v1/parties/{party}/clearings/{interval}',
    what: "a site's part of a clearing: its steps, their fills, and its bus's prices, round by round",
    answer: 'Share',
    question: [],
    about: ofParty,
    cost: 10,
    find: ({ ledger }, { party, interval }) => {
      const feeder = ledger.site(party)?.feeder;
      const document = feeder === undefined ? null : ledger.clearing(feeder, interval);
      return document === null ? null : shareOf(document, party);
    },
  },
  {
    path: '/v1/blocks/{height}',
    what: 'a block in full',
    answer: 'Block',
    question: [],
    about: () => 'validators',
    cost: 10,
    find: ({ ledger }, { height }) => ledger.block(height),
  },
];
