// The demo's words on the terminal: one block of lines an interval, and a line for each thing that happens besides. Pure text.

import { isoSeconds } from '../base/interval.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Book, RequestEntry, SiteInterval } from './book.ts';
import type { Learned } from './learning.ts';
import type { RuleComparison } from './rule.ts';

/** One settled interval: what each site forecast, requested, traded, delivered. */
export function intervalLines(book: Book, interval: number, genesis: Genesis): readonly string[] {
  const { lengthMs } = genesis.interval;
  const start = isoSeconds(interval * lengthMs);
  const end = isoSeconds((interval + 1) * lengthMs).slice(11, 16);
  const head = book.head === null ? '' : `  block ${book.head.height} ${book.head.stateHash.slice(0, 8)}`;
  return [
    `${start.slice(0, 10)} ${start.slice(11, 16)}-${end} UTC${head}`,
    ...book.gateways.flatMap((gateway) => siteLines(book, gateway, interval, genesis)),
  ];
}

function siteLines(book: Book, gateway: string, interval: number, genesis: Genesis): readonly string[] {
  const site = book.site(gateway, interval);
  const requests = book.requests(interval).filter((request) => request.gateway === gateway);
  const name = gateway.replace(/^gateway-/, '').padEnd(8);
  return [
    `  ${name} ${forecastText(site)}  ${requestText(requests)}`,
    `           ${tradeText(gateway, site, genesis)}`,
    `           ${deliveryText(site, genesis)}`,
  ];
}

function forecastText({ forecast }: SiteInterval): string {
  if (forecast === null) return 'forecast   -';
  const parts = forecast.generationWh === null ? [] : [`generation ${Math.round(forecast.generationWh)}`];
  return `forecast   ${[...parts, `consumption ${forecast.consumptionWh}`].join(', ')} Wh`;
}

/** `offer +512 Wh confirmed 4 of 4; demand ...`: k of n validators have proved each record. */
function requestText(requests: readonly RequestEntry[]): string {
  const shown = requests.filter(({ kind }) => kind !== 'delivery' && kind !== 'correction');
  if (shown.length === 0) return 'requested nothing';
  return shown
    .map(({ kind, energyWh, phase, confirmations, validators, reason }) => {
      const energy = energyWh === null ? '' : ` ${kind === 'offer' ? signed(energyWh) : energyWh} Wh`;
      const state =
        phase === 'recorded' || phase === 'undecided' ? `${confirmations} of ${validators}` : `${phase} (${reason})`;
      return `${kind}${energy} ${state}`;
    })
    .join(', ');
}

function tradeText(gateway: string, { notice }: SiteInterval, genesis: Genesis): string {
  if (notice === null) return 'traded     no notice';
  if (notice.status === 'void') return 'traded     nothing: the clearing was void';
  const trades = notice.trades.map(({ seller, buyer, energyWh, sellerUcPerWh, buyerUcPerWh }) =>
    seller === gateway
      ? `sold ${energyWh} Wh to ${short(buyer)} at ${price(sellerUcPerWh, genesis)}`
      : `bought ${energyWh} Wh of ${short(seller)} at ${price(buyerUcPerWh, genesis)}`,
  );
  const binding = notice.bindingLine === '' ? '' : `; the line above ${notice.bindingLine} was full`;
  return `traded     ${trades.length === 0 ? 'nothing' : trades.join(', ')}${binding}`;
}

function deliveryText({ delivery, settlement, stateOfChargePercent }: SiteInterval, genesis: Genesis): string {
  if (delivery === null || settlement === null) return 'delivered  -';
  const charge = stateOfChargePercent === null ? '' : `, charge ${stateOfChargePercent.toFixed(0)} %`;
  const deviation = `deviation ${signed(settlement.deviationWh)} Wh`;
  const money = `${amount(settlement.tradesUc + settlement.imbalanceUc, genesis)}`;
  return `delivered  ${signed(delivery.deliveredWh)} Wh (${delivery.quality}), ${deviation}, ${money}${charge}`;
}

/** What the forecasts would have been with less of the past, and what the usual rule would have earned. */
export function closingLines(
  { learning, rule }: { learning: readonly Learned[]; rule: readonly (RuleComparison & { gateway: string })[] },
  genesis: Genesis,
): readonly string[] {
  const learned = learning.map(({ days, errorWh }) => `${errorWh} Wh ${days === 0 ? 'at first' : `after ${days} d`}`);
  return [
    ...(learned.length === 0
      ? []
      : [
          `learning: over the day that begins with the first interval the forecast alone would leave as imbalance, a site and interval, ${learned.join(', ')}`,
        ]),
    ...rule.flatMap(({ gateway, earnedUc, storedEndWh, storedUcPerWh }) => [
      `${short(gateway)} earned ${amount(earnedUc.plan, genesis)}, ${better(earnedUc.plan - earnedUc.ruleAtTariff, genesis)} with the usual rule on the utility's tariff (${amount(earnedUc.ruleAtTariff, genesis)}), ${better(earnedUc.plan - earnedUc.ruleAtMarket, genesis)} with the rule in the market and every Wh foreseen (${amount(earnedUc.ruleAtMarket, genesis)})`,
      `  wear taken off; stored at the end ${storedEndWh.plan} Wh, by the rule ${storedEndWh.rule} Wh, counted at ${price(storedUcPerWh, genesis)}`,
    ]),
  ];
}

function better(uc: number, genesis: Genesis): string {
  return uc >= 0 ? `${amount(uc, genesis).slice(1)} more than` : `${amount(-uc, genesis).slice(1)} less than`;
}

function short(party: string): string {
  return party.replace(/^gateway-/, '');
}

export function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value);
}

/** µ¤/Wh as ¤/kWh: 1000 µ¤/Wh is one ¤ a kWh. */
export function price(ucPerWh: number, { currency }: Genesis): string {
  return `${(ucPerWh / 1000).toFixed(2)} ${currency.unit}/kWh`;
}

export function amount(uc: number, { currency }: Genesis): string {
  return `${uc < 0 ? '' : '+'}${(uc / 1_000_000).toFixed(2)} ${currency.unit}`;
}
