// Units and the house's sign convention, stated once. Plain numbers carry their unit in the name
// (`powerW`, `energyWh`, `priceUcPerWh`, `amountUc`, `atMs`); these aliases name the units in signatures.
//
// Signs (AC terminals): grid power + is import, - is export; generation >= 0; battery + is discharging;
// consumption >= 0; grid + generation + battery = consumption.

/** Active power, watts. */
export type Watts = number;
/** Energy, watt-hours. An integer wherever it is traded, signed or replicated. */
export type WattHours = number;
/** Price, millionths of the currency unit a watt-hour (µ¤/Wh). An integer. With ¤ = 1 cent, 1000 = 1 ct/kWh. */
export type UcPerWh = number;
/** Money, millionths of the currency unit (µ¤). An integer. */
export type Uc = number;
/** An instant (ms since the epoch, UTC) or a duration in milliseconds, as the name says. */
export type Millis = number;

/** Bounds under which a product of price and energy stays below 2^53: 10^6 µ¤/Wh (10 ¤/kWh at cent) x 10^9 Wh = 10^15 µ¤. */
export const PRICE_UC_PER_WH_MAX = 1_000_000;
export const ENERGY_WH_MAX = 1_000_000_000;

/** Mean power of an energy over a duration. */
export function meanPowerW(energyWh: WattHours, durationMs: Millis): Watts {
  return (energyWh * 3_600_000) / durationMs;
}

/** Energy of a constant power over a duration (not rounded). */
export function energyOfPowerWh(powerW: Watts, durationMs: Millis): WattHours {
  return (powerW * durationMs) / 3_600_000;
}
