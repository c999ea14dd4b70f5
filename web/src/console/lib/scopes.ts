import type { Key } from '../messages';

/** What a key may be allowed, in the order of how far it reaches. */
export const scopes: readonly { readonly id: string; readonly words: Key }[] = [
  { id: 'assets:read', words: 'scopeAssetsRead' },
  { id: 'assets:write', words: 'scopeAssetsWrite' },
  { id: 'sites:read', words: 'scopeSitesRead' },
  { id: 'sites:write', words: 'scopeSitesWrite' },
  { id: 'usage:read', words: 'scopeUsageRead' },
  { id: 'nodes:read', words: 'scopeNodesRead' },
  { id: 'webhooks:write', words: 'scopeWebhooksWrite' },
  { id: 'keys:write', words: 'scopeKeysWrite' },
  { id: 'admin', words: 'scopeAdmin' },
];

/** What a webhook may ask for. */
export const eventTypes = [
  'asset.created', 'asset.updated', 'asset.ready', 'asset.failed', 'asset.deleted',
  'stream.created', 'stream.updated', 'stream.live', 'stream.reconnecting', 'stream.idle', 'stream.deleted',
] as const;
