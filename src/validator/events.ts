// What a validator tells whoever watches it (the log, the demo, the page): plain data.

import type { ConsensusEvent } from '../consensus/pbft/ports.ts';
import type { ClearingDocument } from '../ledger/types.ts';
import type { Header } from '../protocol/header.ts';

export type ValidatorEvent =
  | { readonly type: 'ready'; readonly validator: string }
  | {
      readonly type: 'status';
      readonly state: string;
      readonly why: string;
      readonly view: number;
      readonly primary: string;
      readonly height: number;
      readonly stateHash: string;
      /** Requests waiting for their order. */
      readonly pending: number;
      /** Validators that contradicted themselves: the evidence lies in the folder. */
      readonly accused: readonly string[];
      readonly brokersConnected: number;
      readonly brokers: number;
    }
  | { readonly type: 'consensus'; readonly event: ConsensusEvent }
  | {
      readonly type: 'block';
      readonly header: Header;
      readonly requests: readonly string[];
      readonly clearings: readonly ClearingDocument[];
    };

export type ValidatorListener = (event: ValidatorEvent) => void;
