import { describe, expect, it } from 'vitest';
import { pathOf, routeOf, type Route } from './routes';

describe('routeOf', () => {
  it.each<[string, Route]>([
    ['/console', { page: 'assets' }],
    ['/console/', { page: 'assets' }],
    ['/console/assets', { page: 'assets' }],
    ['/console/assets/', { page: 'assets' }],
    ['/console/assets/ast_1', { page: 'asset', id: 'ast_1' }],
    ['/console/assets/key_1', { page: 'absent' }],
    ['/console/assets/ast_1/x', { page: 'absent' }],
    ['/console/streams', { page: 'streams' }],
    ['/console/streams/str_1', { page: 'stream', id: 'str_1' }],
    ['/console/streams/ast_1', { page: 'absent' }],
    ['/console/sites/sit_1', { page: 'site', id: 'sit_1' }],
    ['/console/sites/cloud', { page: 'site', id: 'cloud' }],
    ['/console/sites/clouds', { page: 'absent' }],
    ['/console/edges/nod_1', { page: 'absent' }],
    ['/console/webhooks/whk_1', { page: 'webhook', id: 'whk_1' }],
    ['/console/keys/key_1', { page: 'absent' }],
    ['/console/toString', { page: 'absent' }],
    ['/console//', { page: 'assets' }],
    ['/elsewhere', { page: 'absent' }],
  ])('%s', (path, want) => expect(routeOf(path)).toEqual(want));

  it.each(['assets', 'streams', 'sites', 'edges', 'usage', 'nodes', 'webhooks', 'keys', 'tenants'] as const)('finds back to %s', (page) => {
    expect(routeOf(pathOf({ page }))).toEqual({ page });
  });
  it('finds back to one thing', () => {
    expect(routeOf(pathOf({ page: 'asset', id: 'ast_9' }))).toEqual({ page: 'asset', id: 'ast_9' });
    expect(routeOf(pathOf({ page: 'stream', id: 'str_9' }))).toEqual({ page: 'stream', id: 'str_9' });
    expect(routeOf(pathOf({ page: 'site', id: 'sit_9' }))).toEqual({ page: 'site', id: 'sit_9' });
    expect(routeOf(pathOf({ page: 'webhook', id: 'whk_9' }))).toEqual({ page: 'webhook', id: 'whk_9' });
  });
});
