// The table of topics as rules for brokers that are not ours, so that they enforce what the embedded broker enforces.

import { CHANNELS, type Channel, type Party, topic } from '../protocol/topics.ts';

/** A party and the user name that the broker knows it by. */
export interface BrokerUser {
  readonly user: string;
  readonly party: Party;
}

/** Topic filters a party may publish on and subscribe to. */
export function filtersOf(chain: string, party: Party): { readonly publish: string[]; readonly subscribe: string[] } {
  const publish: string[] = [];
  const subscribe: string[] = [];
  for (const [channel, rule] of Object.entries(CHANNELS) as [Channel, (typeof CHANNELS)[Channel]][]) {
    const filter = (own: 'publisher' | 'gateway' | null): string =>
      topic(chain, channel, ...rule.levels.map((level) => (level === own ? party.id : '+')));
    if (rule.publish.includes(party.role)) publish.push(filter('publisher'));
    const scope = rule.subscribe[party.role];
    if (scope !== undefined) subscribe.push(filter(scope === 'own' ? 'gateway' : null));
  }
  return { publish, subscribe };
}

/**
 * An `acl_file` for mosquitto. Who proves to be which user is mosquitto's own business: `password_file`, or TLS with
 * `use_identity_as_username`. Set `set_tcp_nodelay true` and `per_listener_settings` beside it (docs of mosquitto.conf).
 */
export function mosquittoRules(chain: string, users: readonly BrokerUser[]): string {
  const blocks = users.map(({ user, party }) => {
    const { publish, subscribe } = filtersOf(chain, party);
    const lines = [
      ...publish.map((filter) => `topic write ${filter}`),
      ...subscribe.map((filter) => `topic read ${filter}`),
    ];
    return [`# ${party.role} ${party.id}`, `user ${user}`, ...lines].join('\n');
  });
  return `${[`# Chain ${chain}. Whoever is not named here may do nothing.`, ...blocks].join('\n\n')}\n`;
}
