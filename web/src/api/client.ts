import { offline, readProblem } from './problem';
import type {
  Asset, AssetChange, CertificatePair, Clip, Delivery, Edge, Encoding, Job, JoinToken, Key, MadeKey, MadeWebhook, NewAsset, NewClip, NewKey, NewPurge, NewStream,
  NewWebhook, Node, Page, Purge, Session, SignedPlayback, SignedStreamPlayback, Site, SiteSettings, Stream, StreamChange, StreamStatistics, Tenant,
  Traffic, Usage, Webhook, WebhookChange,
} from './types';

interface Request {
  query?: Record<string, string | number | undefined>;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

export interface ListQuery {
  limit?: number;
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Client speaks to the API as the signed-in page does: with the session's cookie
 * and the header that keeps other sites from using it. Every method rejects with
 * a Problem, or with an AbortError when its signal says so.
 */
export class Client {
  /** the tenant to act in; empty for the key's own */
  tenant = '';
  /** called when the session has ended */
  signedOut: () => void = () => undefined;

  constructor(private readonly origin = '') {}

  // Session.
  session = () => this.send<Session>('GET', '/v1/session', {});
  signIn = (key: string) => this.send<Session>('POST', '/v1/session', { json: { key } });
  signOut = () => this.send<void>('DELETE', '/v1/session', {});

  // Assets.
  assets = (query: ListQuery & { status?: string; q?: string }) => this.list<Asset>('/v1/assets', query);
  asset = (id: string, signal?: AbortSignal) => this.send<Asset>('GET', `/v1/assets/${id}`, { signal });
  createAsset = (asset: NewAsset) => this.send<Asset>('POST', '/v1/assets', { json: asset, headers: idempotent() });
  changeAsset = (asset: Asset, change: AssetChange) =>
    this.send<Asset>('PATCH', `/v1/assets/${asset.id}`, { json: change, headers: match(asset.rev) });
  deleteAsset = (id: string) => this.send<void>('DELETE', `/v1/assets/${id}`, {});
  retryAsset = (id: string) => this.send<Asset>('POST', `/v1/assets/${id}/retry`, {});
  putSubtitles = (id: string, language: string, name: string, file: Blob) =>
    this.send<Asset>('PUT', `/v1/assets/${id}/subtitles/${encodeURIComponent(language)}`, {
      query: { name: name || undefined },
      body: file,
      headers: { 'Content-Type': 'text/plain' },
    });
  deleteSubtitles = (id: string, language: string) =>
    this.send<Asset>('DELETE', `/v1/assets/${id}/subtitles/${encodeURIComponent(language)}`, {});
  encoding = (id: string) => this.send<Encoding>('GET', `/v1/assets/${id}/encoding`, {});
  /** what it comes to is told by events of the asset */
  compareAsset = (id: string) => this.send<Asset>('POST', `/v1/assets/${id}/comparison`, { json: {} });
  deleteComparison = (id: string) => this.send<Asset>('DELETE', `/v1/assets/${id}/comparison`, {});
  signPlayback = (id: string, seconds: number) =>
    this.send<SignedPlayback>('POST', `/v1/assets/${id}/playback`, { json: { expires_in: seconds } });
  jobs = (query: ListQuery & { asset?: string; kind?: string; state?: string }) => this.list<Job>('/v1/jobs', query);

  // Streams. A key is in the answer that makes it, and never again.
  streams = (query: ListQuery) => this.list<Stream>('/v1/streams', query);
  stream = (id: string, signal?: AbortSignal) => this.send<Stream>('GET', `/v1/streams/${id}`, { signal });
  streamStatistics = (id: string) => this.send<StreamStatistics>('GET', `/v1/streams/${id}/statistics`, {});
  createStream = (stream: NewStream) => this.send<Stream>('POST', '/v1/streams', { json: stream, headers: idempotent() });
  changeStream = (stream: Stream, change: StreamChange) =>
    this.send<Stream>('PATCH', `/v1/streams/${stream.id}`, { json: change, headers: match(stream.rev) });
  deleteStream = (id: string) => this.send<void>('DELETE', `/v1/streams/${id}`, {});
  /** the key before lets encoders in for grace seconds more */
  rotateStreamKey = (id: string, grace: number) => this.send<Stream>('POST', `/v1/streams/${id}/keys`, { query: { grace } });
  signStream = (id: string, seconds: number) =>
    this.send<SignedStreamPlayback>('POST', `/v1/streams/${id}/playback`, { json: { expires_in: seconds } });

  /** begins and ends to pull a stream from its source */
  startStream = (id: string) => this.send<Stream>('POST', `/v1/streams/${id}/start`, {});
  stopStream = (id: string) => this.send<Stream>('POST', `/v1/streams/${id}/stop`, {});
  /** what it answers is ready as an asset later */
  clipStream = (id: string, clip: NewClip) => this.send<Clip>('POST', `/v1/streams/${id}/clips`, { json: clip, headers: idempotent() });

  // Keys and tenants.
  keys = (query: ListQuery) => this.list<Key>('/v1/keys', query);
  createKey = (key: NewKey) => this.send<MadeKey>('POST', '/v1/keys', { json: key, headers: idempotent() });
  deleteKey = (id: string) => this.send<void>('DELETE', `/v1/keys/${id}`, {});
  tenants = (query: ListQuery) => this.list<Tenant>('/v1/tenants', query);
  createTenant = (name: string) => this.send<Tenant>('POST', '/v1/tenants', { json: { name }, headers: idempotent() });
  changeTenant = (tenant: Tenant, name: string) =>
    this.send<Tenant>('PATCH', `/v1/tenants/${tenant.id}`, { json: { name }, headers: match(tenant.rev) });
  deleteTenant = (id: string) => this.send<void>('DELETE', `/v1/tenants/${id}`, {});

  // Nodes.
  nodes = (query: ListQuery) => this.list<Node>('/v1/nodes', query);
  deleteNode = (id: string) => this.send<void>('DELETE', `/v1/nodes/${id}`, {});
  drainNode = (id: string) => this.send<void>('POST', `/v1/nodes/${id}/drain`, {});
  resumeNode = (id: string) => this.send<void>('POST', `/v1/nodes/${id}/resume`, {});
  createJoinToken = (roles: string[], seconds: number) =>
    this.send<JoinToken>('POST', '/v1/nodes/join_tokens', { json: { roles, expires_in: seconds } });

  edges = (query: ListQuery) => this.list<Edge>('/v1/edges', query);

  // Sites. The id cloud is what the cloud itself serves, which has traffic and purges and no settings.
  sites = (query: ListQuery) => this.list<Site>('/v1/sites', query);
  site = (id: string, signal?: AbortSignal) => this.send<Site>('GET', `/v1/sites/${id}`, { signal });
  createSite = (settings: SiteSettings) => this.send<Site>('POST', '/v1/sites', { json: settings, headers: idempotent() });
  replaceSite = (site: Site, settings: SiteSettings) =>
    this.send<Site>('PUT', `/v1/sites/${site.id}`, { json: settings, headers: match(site.rev) });
  deleteSite = (id: string) => this.send<void>('DELETE', `/v1/sites/${id}`, {});
  uploadCertificate = (id: string, pair: CertificatePair) => this.send<Site>('PUT', `/v1/sites/${id}/certificate`, { json: pair });
  traffic = (id: string) => this.send<Traffic>('GET', `/v1/sites/${id}/traffic`, {});
  purges = (id: string, query: ListQuery) => this.list<Purge>(`/v1/sites/${id}/purges`, query);
  purge = (id: string, purge: string) => this.send<Purge>('GET', `/v1/sites/${id}/purges/${purge}`, {});
  createPurge = (id: string, purge: NewPurge) => this.send<Purge>('POST', `/v1/sites/${id}/purges`, { json: purge, headers: idempotent() });

  // Webhooks.
  webhooks = (query: ListQuery) => this.list<Webhook>('/v1/webhooks', query);
  webhook = (id: string, signal?: AbortSignal) => this.send<Webhook>('GET', `/v1/webhooks/${id}`, { signal });
  createWebhook = (webhook: NewWebhook) =>
    this.send<MadeWebhook>('POST', '/v1/webhooks', { json: webhook, headers: idempotent() });
  changeWebhook = (webhook: Webhook, change: WebhookChange) =>
    this.send<Webhook>('PATCH', `/v1/webhooks/${webhook.id}`, { json: change, headers: match(webhook.rev) });
  deleteWebhook = (id: string) => this.send<void>('DELETE', `/v1/webhooks/${id}`, {});
  deliveries = (id: string, query: ListQuery) => this.list<Delivery>(`/v1/webhooks/${id}/deliveries`, query);
  resendDelivery = (id: string, delivery: string) =>
    this.send<Delivery>('POST', `/v1/webhooks/${id}/deliveries/${delivery}/resend`, {});
  testWebhook = (id: string) => this.send<Delivery>('POST', `/v1/webhooks/${id}/test`, {});

  // Usage. Days are YYYY-MM-DD, UTC, both included.
  usage = (from: string, to: string, signal?: AbortSignal) =>
    this.send<Usage>('GET', '/v1/usage', { query: { from, to }, signal });

  /** headers are what every request carries. */
  headers(): Record<string, string> {
    return { 'X-Liuyun': '1', ...(this.tenant && { 'Liuyun-Tenant': this.tenant }) };
  }

  private list<T>(path: string, { signal, ...query }: ListQuery): Promise<Page<T>> {
    return this.send<Page<T>>('GET', path, { query, signal });
  }

  private async send<T>(method: string, path: string, request: Request): Promise<T> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined && value !== '') query.set(name, String(value));
    }
    const headers: Record<string, string> = { Accept: 'application/json', ...this.headers(), ...request.headers };
    if (request.json !== undefined) headers['Content-Type'] = 'application/json';
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.origin}${path}${query.size > 0 ? `?${query}` : ''}`, {
        method,
        headers,
        body: request.json !== undefined ? JSON.stringify(request.json) : (request.body ?? null),
        credentials: 'same-origin',
        signal: request.signal ?? null,
      });
      text = await response.text();
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw offline(error);
    }
    if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T;
    if (response.status === 401 && path !== '/v1/session') this.signedOut();
    throw readProblem(response.status, text);
  }
}

const match = (rev: number) => ({ 'If-Match': `"${rev}"` });

/** A request that is sent again, by the browser or a proxy, must not make a second thing. */
const idempotent = () => ({ 'Idempotency-Key': randomName() });

/** randomName is unguessable; crypto.randomUUID is missing on pages without HTTPS. */
export function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
