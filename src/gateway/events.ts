// What a gateway tells whoever watches it (the log, the demo, the page): plain data, in the order things happen.

import type { Settlement, Trade } from '../protocol/replies.ts';
import type { Condition } from './conditions.ts';
import type { SiteOverride } from './overrides.ts';

/** The site's powers now; null = not known. Signs as base/units.ts. */
export interface SitePowers {
  readonly gridPowerW: number | null;
  readonly generationPowerW: number | null;
  readonly batteryPowerW: number | null;
  readonly consumptionPowerW: number | null;
  readonly stateOfChargePercent: number | null;
}

export type GatewayEvent =
  | { readonly type: 'ready'; readonly gateway: string }
  | {
      readonly type: 'powers';
      readonly atMs: number;
      readonly powers: SitePowers;
      readonly positionWh: number | null;
      readonly deliveredWh: number | null;
      /** What control does, in a line. */
      readonly control: string;
      readonly trouble: string | null;
      /** The owner's word as it stands. */
      readonly overrides: readonly SiteOverride[];
      /** What is not as it should be, in words. */
      readonly conditions: readonly string[];
    }
  | {
      readonly type: 'forecast';
      readonly interval: number;
      /** Medians, Wh; null where there is nothing of that kind. */
      readonly generationWh: number | null;
      readonly consumptionWh: number;
    }
  | {
      readonly type: 'request';
      readonly id: string;
      readonly kind: string;
      readonly interval: number | null;
      /** Energy it speaks of; an offer's is net, + to sell. */
      readonly energyWh: number | null;
      readonly phase: 'undecided' | 'recorded' | 'refused' | 'expired';
      readonly reason: string;
      readonly confirmations: number;
      readonly needed: number;
      readonly validators: number;
    }
  | {
      readonly type: 'notice';
      readonly interval: number;
      readonly status: 'cleared' | 'void';
      readonly positionWh: number;
      readonly nodalPriceUcPerWh: number;
      readonly bindingLine: string;
      readonly trades: readonly Trade[];
      readonly confirmations: number;
    }
  | {
      readonly type: 'delivery';
      readonly interval: number;
      /** Export - import. */
      readonly deliveredWh: number;
      readonly quality: string;
      readonly uncertaintyWh: number;
    }
  | { readonly type: 'settlement'; readonly interval: number; readonly settlement: Settlement }
  | { readonly type: 'override'; readonly what: 'began' | 'ended'; readonly override: SiteOverride }
  | { readonly type: 'condition'; readonly what: 'began' | 'ended'; readonly condition: Condition }
  | { readonly type: 'trouble'; readonly what: string };

export type GatewayListener = (event: GatewayEvent) => void;
