// A site's settings as its form has them, and back: numbers and lists are texts while
// somebody types.
import type { Origin, Rule, Site, SiteSettings } from '../../api/types';

export interface OriginDraft {
  url: string;
  weight: number;
  backup: boolean;
  host: string;
  certificate: string;
  /** never shown again: an empty one leaves the one that is kept */
  key: string;
  ca: string;
}

export interface RuleDraft {
  path: string;
  ttl: string;
  browserTTL: string;
  query: NonNullable<Rule['query']> | '';
  parameters: string;
  vary: string;
  request: string;
  response: string;
  redirect: string;
  status: NonNullable<Rule['status']>;
  compress: '' | 'on' | 'off';
}

export interface SiteDraft {
  name: string;
  hosts: string;
  enabled: boolean;
  origins: OriginDraft[];
  watched: boolean;
  health: { path: string; every: number; timeout: number; failures: number; status: number | null };
  tls: SiteSettings['tls'];
  defaultTTL: string;
  staleIfError: string;
  rules: RuleDraft[];
}

export const newOrigin = (): OriginDraft => ({ url: '', weight: 1, backup: false, host: '', certificate: '', key: '', ca: '' });

export const newRule = (): RuleDraft => ({
  path: '', ttl: '', browserTTL: '', query: '', parameters: '', vary: '', request: '', response: '', redirect: '', status: 302, compress: '',
});

/** What a span may be written as; for the attribute pattern. */
export const spanPattern = String.raw`\s*\d+\s*[smhd]?\s*`;

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** readSpan reads "90", "90s", "15m", "2h" or "7d" as seconds; undefined when nothing is written, NaN for anything else. */
export function readSpan(text: string): number | undefined {
  if (text.trim() === '') return undefined;
  const found = /^\s*(\d+)\s*([smhd]?)\s*$/.exec(text);
  return found ? Number(found[1]) * units[found[2] || 's']! : NaN;
}

/** writeSpan is the shortest that readSpan reads as so many seconds. */
export function writeSpan(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  const unit = (['d', 'h', 'm'] as const).find((u) => seconds > 0 && seconds % units[u]! === 0) ?? 's';
  return `${seconds / units[unit]!}${unit}`;
}

/** readList reads names that stand on lines, or between spaces or commas. */
export const readList = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

type Field = NonNullable<Rule['request']>[number];

/** readFields reads lines of "Name: value". A line without a value takes the field away. */
export function readFields(text: string): Field[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => {
      const colon = line.indexOf(':');
      return colon < 0 ? { name: line, value: '' } : { name: line.slice(0, colon).trim(), value: line.slice(colon + 1).trim() };
    });
}

export const writeFields = (fields: readonly Field[] | null | undefined): string => (fields ?? []).map((f) => `${f.name}: ${f.value}`.trim()).join('\n');

/** draftOf is what a form begins with. */
export function draftOf(site: SiteSettings): SiteDraft {
  return {
    name: site.name,
    hosts: site.hosts.join('\n'),
    enabled: !site.disabled,
    origins: site.origins.map((o) => ({ url: o.url, weight: o.weight, backup: o.backup ?? false, host: o.host ?? '', certificate: o.client_certificate ?? '', key: '', ca: o.ca ?? '' })),
    watched: site.health !== undefined,
    health: { path: site.health?.path ?? '/', every: site.health?.every ?? 10, timeout: site.health?.timeout ?? 5, failures: site.health?.failures ?? 3, status: site.health?.status ?? null },
    tls: site.tls,
    defaultTTL: site.default_ttl ? writeSpan(site.default_ttl) : '',
    staleIfError: site.stale_if_error ? writeSpan(site.stale_if_error) : '',
    rules: (site.rules ?? []).map(ruleDraft),
  };
}

function ruleDraft(rule: Rule): RuleDraft {
  return {
    path: rule.path,
    ttl: writeSpan(rule.ttl),
    browserTTL: writeSpan(rule.browser_ttl),
    query: rule.query ?? '',
    parameters: (rule.parameters ?? []).join(', '),
    vary: (rule.vary ?? []).join(', '),
    request: writeFields(rule.request),
    response: writeFields(rule.response),
    redirect: rule.redirect ?? '',
    status: rule.status ?? 302,
    compress: rule.compress === undefined ? '' : rule.compress ? 'on' : 'off',
  };
}

/** settingsOf is what a form says, as the server takes it. Its spans have to be right. */
export function settingsOf(draft: SiteDraft): SiteSettings {
  const { path, every, timeout, failures, status } = draft.health;
  return {
    name: draft.name.trim(),
    hosts: readList(draft.hosts),
    ...(!draft.enabled && { disabled: true }),
    origins: draft.origins.map(originOf),
    ...(draft.watched && { health: { path: path.trim(), every, timeout, failures, ...(status && { status }) } }),
    rules: draft.rules.map(ruleOf),
    tls: draft.tls,
    default_ttl: readSpan(draft.defaultTTL) ?? 0,
    stale_if_error: readSpan(draft.staleIfError) ?? 0,
  };
}

function originOf(o: OriginDraft): Origin {
  const certificate = o.certificate.trim();
  return {
    url: o.url.trim(),
    weight: o.weight,
    ...(o.backup && { backup: true }),
    ...(o.host.trim() && { host: o.host.trim() }),
    ...(certificate && { client_certificate: o.certificate }),
    ...(certificate && o.key.trim() && { client_key: o.key }),
    ...(o.ca.trim() && { ca: o.ca }),
  };
}

function ruleOf(r: RuleDraft): Rule {
  const ttl = readSpan(r.ttl);
  const browser = readSpan(r.browserTTL);
  const vary = readList(r.vary);
  const request = readFields(r.request);
  const response = readFields(r.response);
  const redirect = r.redirect.trim();
  return {
    path: r.path.trim(),
    ...(ttl !== undefined && { ttl }),
    ...(browser !== undefined && { browser_ttl: browser }),
    ...(r.query && { query: r.query }),
    ...((r.query === 'only' || r.query === 'except') && { parameters: readList(r.parameters) }),
    ...(vary.length > 0 && { vary }),
    ...(request.length > 0 && { request }),
    ...(response.length > 0 && { response }),
    ...(redirect && { redirect, status: r.status }),
    ...(r.compress && { compress: r.compress === 'on' }),
  };
}

/** moved is a list with one of it a place further up (-1) or down (1). */
export function moved<T>(list: readonly T[], at: number, by: -1 | 1): T[] {
  const to = at + by;
  if (to < 0 || to >= list.length) return [...list];
  const next = [...list];
  [next[at], next[to]] = [next[to]!, next[at]!];
  return next;
}

/** addressOf is a path as a purge names it: below the site's only name, '' where it has none or several. */
export function addressOf(hosts: readonly string[], path: string): string {
  if (!path.startsWith('/')) return path; // the edge has said the host too
  return hosts.length === 1 && !hosts[0]!.startsWith('*') ? hosts[0]! + path : '';
}

/** tlsWords says where certificates come from. */
export const tlsWords = { off: 'tlsOff', acme: 'tlsACME', uploaded: 'tlsUploaded' } as const satisfies Record<Site['tls'], string>;
