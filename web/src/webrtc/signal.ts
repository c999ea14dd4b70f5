// WHIP (RFC 9725) and WHEP as a page speaks them: one request with an offer, one
// answer with the address of a session. The server answers at the address that its
// checks of the way come from, so that no candidates have to be sent to it.

/** Refusal is an answer that is no session; detail is what the server says. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
  ) {
    super(detail);
  }
}

/** iceServers reads the TURN servers of Link headers. */
export function iceServers(link: string | null): RTCIceServer[] {
  const found: RTCIceServer[] = [];
  for (const match of (link ?? '').matchAll(/<((?:turns?|stun):[^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g)) {
    const values = new Map(Array.from(match[2]!.matchAll(/([\w-]+)="([^"]*)"/g), (m) => [m[1]!, m[2]!]));
    if (values.get('rel') !== 'ice-server') continue;
    const server: RTCIceServer = { urls: match[1]! };
    const username = values.get('username');
    const credential = values.get('credential');
    if (username !== undefined && credential !== undefined) Object.assign(server, { username, credential });
    found.push(server);
  }
  return found;
}

/** stereo asks for both channels of Opus: browsers take one unless they are told. */
export function stereo(sdp: string): string {
  const payload = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  if (payload === undefined) return sdp;
  const line = new RegExp(`^(a=fmtp:${payload} .*)$`, 'm');
  return sdp.replace(line, (whole: string) => (/[ ;]stereo=/.test(whole) ? whole : `${whole.trimEnd()};stereo=1;sprop-stereo=1${whole.endsWith('\r') ? '\r' : ''}`));
}

/** startRate has a browser begin with that many bits a second, instead of finding out from few. */
export function startRate(sdp: string, bits: number): string {
  const kilobits = Math.round(bits / 1000);
  return sdp.replace(/^(a=fmtp:\d+ [^\r\n]*packetization-mode=1[^\r\n]*)/gm, `$1;x-google-start-bitrate=${kilobits}`);
}

export interface Options {
  /** a stream key, for who publishes */
  readonly key?: string;
  /** changes the offer before it is used */
  readonly offer?: (sdp: string) => string;
  /** changes the answer before it is used */
  readonly answer?: (sdp: string) => string;
  readonly signal?: AbortSignal;
}

/** connect posts the offer of a connection and takes the answer. It resolves to what ends the session. */
export async function connect(pc: RTCPeerConnection, url: string, { key, offer: change, answer: adapt, signal }: Options = {}): Promise<() => void> {
  const authorization: Record<string, string> = key ? { Authorization: `Bearer ${key}` } : {};
  const { sdp = '' } = await pc.createOffer();
  const offer = change ? change(sdp) : sdp;
  const response = await fetch(url, { method: 'POST', headers: { ...authorization, 'Content-Type': 'application/sdp' }, body: offer, signal: signal ?? null });
  const text = await response.text();
  if (response.status !== 201) throw new Refusal(response.status, detailOf(text));
  const location = response.headers.get('Location');
  const end = () => {
    if (location) void fetch(new URL(location, response.url), { method: 'DELETE', headers: authorization, keepalive: true }).catch(() => undefined);
  };
  try {
    // Only now the browser looks for ways: with TURN, where the server has one.
    const servers = iceServers(response.headers.get('Link'));
    if (servers.length > 0) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
    await pc.setLocalDescription({ type: 'offer', sdp: offer });
    await pc.setRemoteDescription({ type: 'answer', sdp: adapt ? adapt(text) : text });
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

/** detailOf is the sentence of a problem document (RFC 9457). */
function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail : '';
  } catch {
    return '';
  }
}
