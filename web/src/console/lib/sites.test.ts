import { describe, expect, it } from 'vitest';
import type { SiteSettings } from '../../api/types';
import { addressOf, draftOf, moved, newRule, readFields, readList, readSpan, settingsOf, spanPattern, writeSpan } from './sites';

const site: SiteSettings = {
  name: 'Shop',
  hosts: ['www.example.org', '*.example.net'],
  disabled: true,
  origins: [
    { url: 'https://a.example', weight: 3, host: 'shop.example', client_certificate: 'CERT', ca: 'CA' },
    { url: 'http://10.0.0.5:8080/base', weight: 1, backup: true },
  ],
  health: { path: '/up', every: 5, timeout: 2, failures: 4, status: 204 },
  tls: 'uploaded',
  default_ttl: 90,
  stale_if_error: 86_400,
  rules: [
    { path: '/images/*', ttl: 0, browser_ttl: 3600, query: 'except', parameters: ['utm_*', 'fbclid'], vary: ['Accept-Language'], request: [{ name: 'X-From', value: 'edge: one' }], response: [{ name: 'Server', value: '' }], compress: false },
    { path: '/old/*', redirect: 'https://$host/new/$rest', status: 308, compress: true },
  ],
};

describe('a site in its form', () => {
  it('comes out as it went in', () => expect(settingsOf(draftOf(site))).toEqual(site));
  it('leaves out what nobody said', () => {
    const draft = draftOf({ name: ' A ', hosts: ['a.example'], origins: [{ url: 'http://o', weight: 1 }], tls: 'off' });
    draft.rules.push({ ...newRule(), path: '/x', parameters: 'left, over' });
    expect(settingsOf(draft)).toEqual({ name: 'A', hosts: ['a.example'], origins: [{ url: 'http://o', weight: 1 }], rules: [{ path: '/x' }], tls: 'off', default_ttl: 0, stale_if_error: 0 });
  });
  it('says a key only with its certificate, and only a new one', () => {
    const draft = draftOf(site);
    expect(settingsOf(draft).origins[0]).not.toHaveProperty('client_key');
    draft.origins[0]!.key = 'KEY';
    expect(settingsOf(draft).origins[0]).toHaveProperty('client_key', 'KEY');
    draft.origins[0]!.certificate = '';
    expect(settingsOf(draft).origins[0]).not.toHaveProperty('client_key');
  });
});

describe('spans', () => {
  it.each([['', undefined], ['90', 90], [' 15 m ', 900], ['2h', 7200], ['7d', 604_800], ['0', 0], ['1w', NaN], ['-1', NaN], ['1.5h', NaN]])('%s is %d', (text, want) => expect(readSpan(text)).toEqual(want));
  it.each([[0, '0s'], [90, '90s'], [900, '15m'], [7200, '2h'], [604_800, '7d']])('%d is written %s', (n, want) => {
    expect(writeSpan(n)).toBe(want);
    expect(readSpan(want)).toBe(n);
  });
  it('allows in a field what it reads', () => {
    const allowed = new RegExp(`^(?:${spanPattern})$`, 'v');
    for (const text of ['90', '15 m', '2h']) expect(allowed.test(text)).toBe(true);
    for (const text of ['1w', '-1', '1.5h', 'm']) expect(allowed.test(text)).toBe(false);
  });
});

describe('lists', () => {
  it('reads names between anything', () => expect(readList(' a.example,\n*.b.example  c ')).toEqual(['a.example', '*.b.example', 'c']));
  it('reads fields', () => expect(readFields('A: b: c\n\n Gone \nD:')).toEqual([{ name: 'A', value: 'b: c' }, { name: 'Gone', value: '' }, { name: 'D', value: '' }]));
  it('moves one', () => {
    expect(moved([1, 2, 3], 2, -1)).toEqual([1, 3, 2]);
    expect(moved([1, 2, 3], 0, 1)).toEqual([2, 1, 3]);
    expect(moved([1, 2, 3], 0, -1)).toEqual([1, 2, 3]);
    expect(moved([1, 2, 3], 2, 1)).toEqual([1, 2, 3]);
  });
});

describe('addressOf', () => {
  it.each<[string[], string, string]>([
    [['a.example'], '/x?y', 'a.example/x?y'],
    [['a.example', 'b.example'], '/x', ''],
    [['*.a.example'], '/x', ''],
    [['a.example', 'b.example'], 'b.example/x', 'b.example/x'],
  ])('%j %s is %s', (hosts, path, want) => expect(addressOf(hosts, path)).toBe(want));
});
