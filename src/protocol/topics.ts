// The topics and who may publish and subscribe: one table, enforced by the embedded broker and turned into rules for others.

import { ID } from './envelope.ts';

export type Role = 'validator' | 'gateway' | 'operator' | 'observer';

/** A party as the brokers know it. The utility at a root publishes like an operator. */
export interface Party {
  readonly id: string;
  readonly role: Role;
}

export type Channel =
  | 'request'
  | 'reply'
  | 'notice'
  | 'consensus'
  | 'sync'
  | 'header'
  | 'operator'
  | 'order'
  | 'status';

export function topic(chain: string, channel: Channel, ...path: readonly string[]): string {
  return ['wattpact', '1', chain, channel, ...path].join('/');
}

/** Topic of a customer's stated demand on the site's own broker. */
export function siteDemandTopic(customer: string): string {
  return `wattpact/1/site/demand/${customer}`;
}

/** Topic of the owner's overrides on the site's own broker. */
export const SITE_OVERRIDE_TOPIC = 'wattpact/1/site/override';

export interface ParsedTopic {
  readonly channel: Channel;
  readonly path: readonly string[];
}

/** Levels after the channel, and who publishes: `self` = the level must be the publisher's own id. */
interface ChannelRule {
  readonly levels: readonly ('publisher' | 'gateway')[];
  readonly publish: readonly Role[];
  /** `own` = only with the gateway level equal to the subscriber's id. */
  readonly subscribe: Readonly<Partial<Record<Role, 'all' | 'own'>>>;
}

const EVERYONE = { validator: 'all', gateway: 'all', operator: 'all', observer: 'all' } as const;

export const CHANNELS: Readonly<Record<Channel, ChannelRule>> = {
  request: { levels: ['publisher'], publish: ['gateway'], subscribe: { validator: 'all' } },
  reply: { levels: ['gateway', 'publisher'], publish: ['validator'], subscribe: { gateway: 'own', operator: 'own' } },
  notice: { levels: ['gateway', 'publisher'], publish: ['validator'], subscribe: { gateway: 'own' } },
  consensus: { levels: ['publisher'], publish: ['validator'], subscribe: { validator: 'all' } },
  sync: { levels: ['publisher'], publish: ['validator'], subscribe: { validator: 'all' } },
  header: { levels: ['publisher'], publish: ['validator'], subscribe: EVERYONE },
  operator: { levels: ['publisher'], publish: ['operator'], subscribe: { validator: 'all' } },
  order: { levels: ['publisher'], publish: ['operator'], subscribe: { gateway: 'all', validator: 'all' } },
  status: { levels: ['publisher'], publish: ['validator', 'gateway', 'operator'], subscribe: EVERYONE },
};

/** A topic without wildcards, or null if it is not one of this chain's. */
export function parseTopic(chain: string, text: string): ParsedTopic | null {
  const [root, version, topicChain, channel, ...path] = text.split('/');
  if (root !== 'wattpact' || version !== '1' || topicChain !== chain || channel === undefined) return null;
  if (!Object.hasOwn(CHANNELS, channel)) return null;
  const rule = CHANNELS[channel as Channel];
  if (path.length !== rule.levels.length || !path.every((level) => ID.test(level))) return null;
  return { channel: channel as Channel, path };
}

export function mayPublish(chain: string, party: Party, text: string): boolean {
  const parsed = parseTopic(chain, text);
  if (parsed === null) return false;
  const rule = CHANNELS[parsed.channel];
  return rule.publish.includes(party.role) && parsed.path[rule.levels.indexOf('publisher')] === party.id;
}

/** A subscription may use `+` for any level it is allowed to see in full; never `#`. */
export function maySubscribe(chain: string, party: Party, filter: string): boolean {
  const [root, version, topicChain, channel, ...path] = filter.split('/');
  if (root !== 'wattpact' || version !== '1' || topicChain !== chain || channel === undefined) return false;
  if (!Object.hasOwn(CHANNELS, channel)) return false;
  const rule = CHANNELS[channel as Channel];
  if (path.length !== rule.levels.length) return false;
  if (!path.every((level) => level === '+' || ID.test(level))) return false;
  const scope = rule.subscribe[party.role];
  return scope === 'all' || (scope === 'own' && path[rule.levels.indexOf('gateway')] === party.id);
}
