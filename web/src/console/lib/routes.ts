// The places of the console, below /console/.

export type Route =
  | { readonly page: 'assets' }
  | { readonly page: 'asset'; readonly id: string }
  | { readonly page: 'streams' }
  | { readonly page: 'stream'; readonly id: string }
  | { readonly page: 'sites' }
  | { readonly page: 'site'; readonly id: string }
  | { readonly page: 'edges' }
  | { readonly page: 'usage' }
  | { readonly page: 'nodes' }
  | { readonly page: 'webhooks' }
  | { readonly page: 'webhook'; readonly id: string }
  | { readonly page: 'keys' }
  | { readonly page: 'tenants' }
  | { readonly page: 'absent' };

const base = '/console/';
const lists: Readonly<Record<string, Route>> = {
  assets: { page: 'assets' },
  streams: { page: 'streams' },
  sites: { page: 'sites' },
  edges: { page: 'edges' },
  usage: { page: 'usage' },
  nodes: { page: 'nodes' },
  webhooks: { page: 'webhooks' },
  keys: { page: 'keys' },
  tenants: { page: 'tenants' },
};

/** routeOf reads the path of an address. */
export function routeOf(path: string): Route {
  if (!path.startsWith(base)) return path === base.slice(0, -1) ? lists.assets! : { page: 'absent' };
  const [name = '', id, ...rest] = path.slice(base.length).replace(/\/$/, '').split('/');
  if (name === '' && id === undefined) return lists.assets!;
  if (rest.length > 0) return { page: 'absent' };
  if (id === undefined) return (Object.hasOwn(lists, name) && lists[name]) || { page: 'absent' };
  if (name === 'assets' && /^ast_\w+$/.test(id)) return { page: 'asset', id };
  if (name === 'streams' && /^str_\w+$/.test(id)) return { page: 'stream', id };
  if (name === 'sites' && /^(sit_\w+|cloud)$/.test(id)) return { page: 'site', id };
  if (name === 'webhooks' && /^whk_\w+$/.test(id)) return { page: 'webhook', id };
  return { page: 'absent' };
}

/** pathOf is the address of a route. */
export function pathOf(route: Route): string {
  if (route.page === 'asset') return `${base}assets/${route.id}`;
  if (route.page === 'stream') return `${base}streams/${route.id}`;
  if (route.page === 'site') return `${base}sites/${route.id}`;
  if (route.page === 'webhook') return `${base}webhooks/${route.id}`;
  return route.page === 'absent' ? base : base + route.page;
}
