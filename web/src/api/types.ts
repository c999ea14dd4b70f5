// Names for what the API says and takes. The schema is generated: `npm run api`.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Asset = Schemas['Asset'];
export type AssetChange = Schemas['AssetChange'];
/** AssetProgress is sent with events, without an id: it is not kept. */
export type AssetProgress = Pick<Asset, 'id' | 'status' | 'progress' | 'phase' | 'waiting_for'>;
export type Clip = Schemas['Clip'];
export type CertificatePair = Schemas['CertificatePair'];
export type Delivery = Schemas['Delivery'];
export type Edge = Schemas['Edge'];
export type EncodeOptions = Schemas['OptionsInput'];
export type Event = Schemas['Event'];
export type Failure = Schemas['Failure'];
export type Job = Schemas['Job'];
export type JoinToken = Schemas['JoinTokenAnswer'];
export type Key = Schemas['Key'];
export type MadeKey = Schemas['MadeKey'];
export type MadeWebhook = Schemas['MadeWebhook'];
export type NewAsset = Schemas['NewAsset'];
export type NewClip = Schemas['NewClip'];
export type NewKey = Schemas['NewKey'];
export type NewPurge = Schemas['NewPurge'];
export type NewStream = Schemas['NewStream'];
export type NewWebhook = Schemas['NewWebhook'];
export type Node = Schemas['Node'];
export type Origin = Schemas['Origin'];
export type OriginAtEdge = Schemas['OriginAtEdge'];
export type Policy = Schemas['Playback']['policy'];
export type Purge = Schemas['Purge'];
export type Rendition = Schemas['Rendition'];
export type Rule = Schemas['Rule'];
export type Session = Schemas['Session'];
export type Encoding = Schemas['Encoding'];
export type SignedPlayback = Schemas['SignedPlayback'];
export type SignedStreamPlayback = Schemas['SignedStreamPlayback'];
export type Site = Schemas['Site'];
export type SiteSettings = Schemas['Settings'];
export type Status = Asset['status'];
export type Stream = Schemas['Stream'];
export type StreamChange = Schemas['StreamChange'];
export type StreamHealth = Schemas['StreamHealth'];
export type StreamStatistics = Schemas['StreamStatistics'];
export type Tenant = Schemas['Tenant'];
export type Track = Schemas['Track'];
export type Traffic = Schemas['Traffic'];
export type TrafficPoint = Schemas['TrafficPoint'];
export type Usage = Schemas['UsageReport'];
export type Webhook = Schemas['Webhook'];
export type WebhookChange = Schemas['WebhookChange'];

/** SeenRequest is a request that an edge has answered, as the live tail shows it. */
export interface SeenRequest {
  at: string;
  edge: string;
  client: string;
  method: string;
  host: string;
  path: string;
  status: number;
  bytes: number;
  seconds: number;
  cache: string;
}

/** Page is one answer of a list; next is empty at its end. */
export interface Page<T> {
  data: T[];
  next: string;
}
