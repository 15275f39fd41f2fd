// The commissioning report as one printable HTML page. Pure: everything found comes in.

import { isoSeconds } from '../base/interval.ts';
import type { Millis } from '../base/units.ts';
import type { LoadedSite } from '../site/types.ts';
import type { BusPlan } from './busplan.ts';
import type { Probe } from './probe.ts';

/** Consumption below this is a wrong sign or a forgotten device, not measuring error. */
const CONSUMPTION_FLOOR_W = -100;

export interface Report {
  readonly html: string;
  readonly problems: readonly string[];
}

export function commissioningReport(
  { file, site, profiles }: LoadedSite,
  plans: readonly BusPlan[],
  probes: readonly Probe[],
  atMs: Millis,
): Report {
  const problems = [...plans.flatMap(planProblems), ...probes.flatMap(probeProblems), ...balanceProblems(site, probes)];
  const rows = probes.map((probe) => {
    const device = site.devices.find(({ id }) => id === probe.device);
    const profile = profiles.get(device?.profile ?? '');
    const identity = probe.identity.filter(({ what }) => what !== 'check').map(({ what, text }) => `${what} ${text}`);
    const points = probe.points.map(
      ({ measurand, value, unit, raw, reason }) =>
        `<tr><td>${htmlText(measurand)}</td><td class="n">${value === null ? '–' : htmlText(String(Math.round(value * 100) / 100))}</td><td>${unit === 'none' ? '' : htmlText(unit)}</td><td><code>${htmlText(raw)}</code></td><td>${htmlText(reason ?? '')}</td></tr>`,
    );
    return `<section><h2>${htmlText(probe.device)}</h2>
<p>${htmlText(`${profile?.maker ?? ''} ${profile?.model ?? ''}`)}, profile <code>${htmlText(device?.profile ?? '')}</code> (${htmlText(profile?.verified ?? '')}), ${htmlText(device?.role ?? '')}, bus ${htmlText(device?.bus ?? '')} unit ${device?.unitId ?? ''}${identity.length > 0 ? `; ${htmlText(identity.join(', '))}` : ''}</p>
${probe.failure === null ? '' : `<p class="bad">${htmlText(probe.failure)}</p>`}
<table><thead><tr><th>point</th><th>value</th><th>unit</th><th>registers</th><th></th></tr></thead><tbody>${points.join('\n')}</tbody></table></section>`;
  });
  const buses = plans.map(
    ({ bus, devices, cycleMs, load }) =>
      `<tr><td>${htmlText(bus)}</td><td class="n">${devices.length}</td><td class="n">${(cycleMs / 1000).toFixed(2)} s</td><td class="n">${Math.round(load * 100)} %</td></tr>`,
  );
  const verdict =
    problems.length === 0
      ? '<p class="good">No problems found.</p>'
      : `<ul class="bad">${problems.map((problem) => `<li>${htmlText(problem)}</li>`).join('')}</ul>`;
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Commissioning: ${htmlText(site.name)}</title>
<style>body{font:14px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.15rem .5rem;border-bottom:1px solid #ddd}.n{text-align:right}
code{font-size:12px}.bad{color:#a00}.good{color:#060}section{break-inside:avoid}@media print{body{margin:0}}</style>
<h1>Commissioning: ${htmlText(site.name)}</h1>
<p>Site <code>${htmlText(site.id)}</code> from <code>${htmlText(file)}</code>, ${isoSeconds(atMs)}. Connection: ${site.connection.phases.length} phases of ${site.connection.ampsPerPhase} A, import limit ${site.connection.importLimitW} W, export limit ${site.connection.exportLimitW} W.</p>
<h2>Result</h2>${verdict}
<h2>Buses</h2><table><thead><tr><th>bus</th><th>devices</th><th>cycle</th><th>load</th></tr></thead><tbody>${buses.join('\n')}</tbody></table>
${rows.join('\n')}
<p>Installer: ______________________ &nbsp; Date: ______________</p>
</html>
`;
  return { html, problems };
}

function planProblems({ bus, load }: BusPlan): string[] {
  return load > 1 ? [`bus ${bus}: ${Math.round(load * 100)} % load: it cannot keep up`] : [];
}

function probeProblems(probe: Probe): string[] {
  const at = (text: string): string => `${probe.device}: ${text}`;
  if (probe.failure !== null) return [at(probe.failure)];
  return [
    ...probe.identity
      .filter(({ fits }) => !fits)
      .map(({ what, text }) => at(`${what} is ${text}: does not fit the profile`)),
    ...probe.points.flatMap(({ measurand, reason, suspicions }) => [
      ...(reason === null ? [] : [at(`${measurand}: ${reason}`)]),
      ...suspicions.map((suspicion) => at(`${measurand}: ${suspicion}`)),
    ]),
    ...probe.suspicions.map(at),
  ];
}

/** grid + generation + battery = consumption: a negative consumption is a wrong sign or a missing device. */
function balanceProblems(site: LoadedSite['site'], probes: readonly Probe[]): string[] {
  const value = (device: string, measurand: string): number | null =>
    probes.find((probe) => probe.device === device)?.points.find((point) => point.measurand === measurand)?.value ??
    null;
  const meter = site.devices.find(({ role }) => role === 'grid-meter');
  const gridW = meter === undefined ? null : value(meter.id, 'gridPowerW');
  if (gridW === null) return [];
  let consumptionW = gridW;
  for (const { id, role } of site.devices) {
    if (role === 'grid-meter' || role === 'meter') continue;
    consumptionW += (value(id, 'generationPowerW') ?? 0) + (value(id, 'batteryPowerW') ?? 0);
  }
  if (consumptionW >= CONSUMPTION_FLOOR_W) return [];
  return [
    `the site would consume ${Math.round(consumptionW)} W: the sign of a meter or battery is wrong, or a generator is missing`,
  ];
}

function htmlText(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
