// What the API says and takes, in the shape that openapi-typescript gives its
// document (/v1/openapi.json): `components['schemas'][…]`.

export interface components {
  schemas: {
    Failure: { code: string; message: string };
    Problem: {
      type?: string;
      title: string;
      status: number;
      /** one of base/fault's codes */
      code: string;
      detail: string;
      errors?: { location?: string; message: string }[];
    };

    Session: {
      tenant: { id: string; name: string };
      key: { id: string; name: string };
      scopes: string[];
      version: string;
      secure: boolean;
    };

    Asset: {
      id: string;
      name: string;
      status: 'created' | 'uploading' | 'queued' | 'processing' | 'ready' | 'failed';
      /** why it is held; null when it is not */
      waiting_for: 'storage' | null;
      /** 0–1 of the whole way */
      progress: number;
      phase: '' | 'upload' | 'import' | 'analyse' | 'encode' | 'package';
      error: components['schemas']['Failure'] | null;
      /** seconds; 0 when unknown */
      duration: number;
      /** bytes of the source */
      size: number;
      /** bytes of the result */
      stored: number;
      tracks: components['schemas']['Track'][];
      renditions: components['schemas']['Rendition'][];
      subtitles: { language: string; name: string }[];
      playback: components['schemas']['Playback'];
      thumbnails: { poster: string; storyboard: string };
      warnings: components['schemas']['Failure'][];
      options: components['schemas']['EncodeOptions'];
      created_at: string;
      updated_at: string;
      ready_at: string | null;
      rev: number;
    };
    Track: {
      type: 'video' | 'audio' | 'subtitle';
      codec?: string;
      width?: number;
      height?: number;
      frame_rate?: string | number;
      dynamic_range?: string;
      channels?: number;
      sample_rate?: number;
      language?: string;
      name?: string;
    };
    Rendition: {
      id: string;
      codec: string;
      codecs: string;
      width: number;
      height: number;
      frame_rate: string | number;
      dynamic_range: string;
      bandwidth: number;
      average_bandwidth: number;
      size: number;
      /** address of an MP4 file; empty when there is none */
      mp4: string;
    };
    Playback: {
      policy: 'public' | 'signed';
      hls: string;
      dash: string;
      mp4: string[];
      embed: string;
      expires: string | null;
    };
    SignedPlayback: {
      hls: string;
      dash: string;
      mp4: string[];
      embed: string;
      poster: string;
      storyboard: string;
      expires: string;
    };
    EncodeOptions: {
      codecs?: string[];
      ladder?: string;
      preset?: string;
      segment?: string;
      loudness?: string;
      mp4?: boolean;
      keep_original?: boolean;
    };
    NewAsset: {
      name: string;
      url?: string;
      playback_policy?: 'public' | 'signed';
      options?: components['schemas']['EncodeOptions'];
    };
    AssetChange: { name?: string; playback_policy?: 'public' | 'signed' };

    Job: {
      id: string;
      kind: 'transcode' | 'unit' | 'import' | 'subtitles';
      asset: string;
      state: 'waiting' | 'running' | 'done' | 'failed' | 'canceled';
      progress: number;
      attempt: number;
      node: string;
      error: components['schemas']['Failure'] | null;
      created_at: string;
      started_at: string | null;
      ended_at: string | null;
    };

    Key: {
      id: string;
      name: string;
      /** the first characters, by which people know it */
      prefix: string;
      scopes: string[];
      created_at: string;
      last_used_at: string | null;
      expires_at: string | null;
    };
    NewKey: { name: string; scopes: string[]; expires_at?: string };
    MadeKey: components['schemas']['Key'] & { secret: string };

    Tenant: { id: string; name: string; created_at: string; rev: number };

    Node: {
      id: string;
      name: string;
      roles: string[];
      state: 'ready' | 'draining' | 'aside' | 'gone';
      reason: string;
      version: string;
      class: string;
      address: string;
      cores: number;
      /** 0–1 */
      load: number;
      memory: number;
      memory_used: number;
      disk_free: number;
      disk_size: number;
      /** units it encodes now */
      running: number;
      joined_at: string;
      seen_at: string;
    };
    JoinToken: { token: string; command: string; expires_at: string };

    Webhook: {
      id: string;
      url: string;
      /** empty for all */
      events: string[];
      enabled: boolean;
      created_at: string;
      rev: number;
      last_status: number | null;
      failing_since: string | null;
    };
    NewWebhook: { url: string; events: string[]; enabled?: boolean };
    WebhookChange: { url?: string; events?: string[]; enabled?: boolean };
    MadeWebhook: components['schemas']['Webhook'] & { secret: string };
    Delivery: {
      id: string;
      webhook: string;
      event: components['schemas']['Event'];
      state: 'waiting' | 'delivered' | 'failed';
      attempts: number;
      status: number | null;
      response: string;
      error: string;
      next_at: string | null;
      created_at: string;
      delivered_at: string | null;
    };

    Event: { id: string; type: string; time: string; tenant: string; data: unknown };
    /** sent with events, without an id: it is not kept */
    AssetProgress: Pick<components['schemas']['Asset'], 'id' | 'status' | 'progress' | 'phase'>;

    Usage: {
      from: string;
      to: string;
      total: components['schemas']['UsageAmounts'] & { uploads: number };
      days: (components['schemas']['UsageAmounts'] & { day: string })[];
    };
    UsageAmounts: { minutes_encoded: number; bytes_stored: number; bytes_served: number; cpu_seconds: number };
  };
}
