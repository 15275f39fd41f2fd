// How a broker is named in configuration: one URL that says where it is and how to prove oneself there.
//
//   mqtt://host:1883?broker=validator-1     an embedded broker: signed login made for that broker
//   mqtt://user:password@host:1883          another broker, user name and password
//   mqtt://host:1883                        another broker that asks for nothing (or mqtts with a client certificate)
//   mqtts://...                             the same over TLS

import { WattpactError } from '../base/errors.ts';
import { idSchema } from '../protocol/envelope.ts';

export interface BrokerAddress {
  /** `mqtt://host:port` or `mqtts://host:port`: no secrets, so it is the broker's name in logs and on disk. */
  readonly url: string;
  readonly proof:
    | { readonly type: 'login'; readonly broker: string }
    | { readonly type: 'password'; readonly username: string; readonly password: string }
    | { readonly type: 'none' };
}

const DEFAULT_PORTS = { 'mqtt:': '1883', 'mqtts:': '8883' } as const;

/** A broker's URL from configuration; throws `broker.url` with what is wrong. */
export function parseBrokerUrl(text: string): BrokerAddress {
  const fail = (what: string): WattpactError =>
    new WattpactError('broker.url', `${withoutSecret(text)} is no broker: ${what}`, {
      hint: 'Write mqtt://host:port?broker=ID, mqtt://user:password@host:port or mqtt://host:port',
    });
  if (!URL.canParse(text)) throw fail('not a URL');
  const url = new URL(text);
  if (url.protocol !== 'mqtt:' && url.protocol !== 'mqtts:') throw fail('it must begin with mqtt:// or mqtts://');
  if (url.hostname === '') throw fail('it names no host');
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') throw fail('it has a path');
  const broker = url.searchParams.get('broker');
  if ([...url.searchParams.keys()].some((key) => key !== 'broker')) throw fail('only ?broker=ID may follow');
  if (broker !== null && !idSchema.safeParse(broker).success)
    throw fail('the id of the broker must be 1 to 64 of a-z, 0-9 and -');
  if (broker !== null && url.username !== '') throw fail('either ?broker=ID or user and password');
  const place = `${url.protocol}//${url.hostname}:${url.port || DEFAULT_PORTS[url.protocol]}`;
  if (broker !== null) return { url: place, proof: { type: 'login', broker } };
  if (url.username === '') return { url: place, proof: { type: 'none' } };
  const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  return { url: place, proof: { type: 'password', username, password } };
}

function withoutSecret(text: string): string {
  return text.replace(/\/\/[^@/]*@/, '//');
}
