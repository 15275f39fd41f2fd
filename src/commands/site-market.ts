// The market section of a site file with the genesis that it names.

import { WattpactError } from '../base/errors.ts';
import { type Genesis, genesisHash } from '../protocol/genesis.ts';
import type { SiteFile } from '../site/types.ts';
import { loadGenesis } from './runtime.ts';

/** Throws `site.market` if the site has none, `genesis.hash` if the genesis is not the one that the site was made for. */
export function marketOf(
  siteFile: string,
  { market }: SiteFile,
): { readonly market: NonNullable<SiteFile['market']>; readonly genesis: Genesis } {
  if (market === null) {
    throw new WattpactError('site.market', `${siteFile}: the site has no market section`, {
      hint: 'Add market: with genesis, brokers, key and dataDir (see devices/examples)',
    });
  }
  const genesis = loadGenesis(market.genesis);
  const hash = genesisHash(genesis);
  if (market.genesisHash !== null && market.genesisHash !== hash) {
    throw new WattpactError(
      'genesis.hash',
      `${market.genesis} has the hash ${hash}, the site file was made for ${market.genesisHash}`,
      {
        hint: 'Get the genesis of your consortium again, or correct genesisHash if the consortium has a new one',
      },
    );
  }
  return { market, genesis };
}
