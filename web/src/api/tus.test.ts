/// <reference types="node" />
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fingerprint } from './fingerprint';
import { offline, Problem } from './problem';
import { encodeMetadata, Tus, type TusListener, type TusOptions } from './tus';
import type { Wire } from './wire';

/** A server of one upload, as small as tus allows, with a switch for each way to go wrong. */
class TinyTus {
  readonly server: Server;
  bytes = Buffer.alloc(0);
  length = -1;
  metadata = '';
  requests: string[] = [];
  /** answers to give instead, first come first served */
  refusals: { method: string; status: number; body?: string }[] = [];
  /** end the connection when a request has brought so many bytes */
  cutAfter = Infinity;

  constructor() {
    this.server = createServer((request, response) => {
      const socket = request.socket;
      void this.answer(request).then(
        ({ status, headers = {}, body = '' }) => response.writeHead(status, headers).end(body),
        () => socket.destroy(),
      );
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private async answer(request: IncomingMessage): Promise<{ status: number; headers?: Record<string, string>; body?: string }> {
    const method = request.method!;
    this.requests.push(method);
    if (request.headers['tus-resumable'] !== '1.0.0' || request.headers['x-liuyun'] !== '1') return { status: 412 };
    const refusal = this.refusals.find((r) => r.method === method);
    if (refusal) {
      this.refusals.splice(this.refusals.indexOf(refusal), 1);
      request.resume();
      return refusal;
    }
    if (method === 'POST') {
      this.length = Number(request.headers['upload-length']);
      this.metadata = String(request.headers['upload-metadata']);
      this.bytes = Buffer.alloc(0);
      return { status: 201, headers: { Location: 'http://another.name/v1/uploads/ast_1', 'Liuyun-Asset': 'ast_1' } };
    }
    if (this.length < 0) return { status: 404 };
    const state = () => ({ 'Upload-Offset': String(this.bytes.length), 'Upload-Length': String(this.length) });
    if (method === 'HEAD') return { status: 200, headers: state() };
    if (method === 'DELETE') {
      this.length = -1;
      return { status: 204 };
    }
    if (Number(request.headers['upload-offset']) !== this.bytes.length) return { status: 409 };
    let taken = 0;
    for await (const part of request) {
      const room = (part as Buffer).subarray(0, this.cutAfter - taken);
      this.bytes = Buffer.concat([this.bytes, room]);
      taken += room.length;
      if (taken >= this.cutAfter) {
        this.cutAfter = Infinity;
        throw new Error('cut');
      }
    }
    return { status: 204, headers: state() };
  }
}

const fetchWire: Wire = async ({ method, url, headers, body, sent, signal }) => {
  try {
    const response = await fetch(url, { method, headers, body: body ?? null, signal });
    if (body) sent?.(body.size);
    return { status: response.status, header: (name) => response.headers.get(name), text: await response.text() };
  } catch (error) {
    throw signal.aborted ? error : offline(error);
  }
};

const content = new Uint8Array(300_000).map((_, i) => (i * 7 + (i >> 8)) & 255);
const file = new Blob([content]);
const never = new AbortController().signal;

describe('Tus', () => {
  let tiny: TinyTus;
  let made: [string, string][];
  let sent: number[];
  let stalls: (Problem | undefined)[];

  beforeEach(async () => {
    tiny = new TinyTus();
    await new Promise<void>((done) => tiny.server.listen(0, '127.0.0.1', done));
    made = [];
    sent = [];
    stalls = [];
  });
  afterEach(() => {
    tiny.server.closeAllConnections();
    tiny.server.close();
  });

  const listener: TusListener = {
    made: (url, asset) => made.push([url, asset]),
    progress: (bytes) => sent.push(bytes),
    stalled: (problem) => stalls.push(problem),
  };
  const upload = (options: Partial<TusOptions> = {}) =>
    new Tus(
      {
        file,
        endpoint: `${tiny.url}/v1/uploads`,
        metadata: { filename: '流云.mp4' },
        headers: { 'X-Liuyun': '1' },
        wire: fetchWire,
        chunk: 100_000,
        pause: () => 1,
        ...options,
      },
      listener,
    );

  it('sends a file in pieces', async () => {
    await upload().run(never);
    expect(tiny.bytes.equals(content)).toBe(true);
    expect(tiny.requests).toEqual(['POST', 'PATCH', 'PATCH', 'PATCH']);
    expect(tiny.metadata).toBe(`filename ${Buffer.from('流云.mp4').toString('base64')}`);
    expect(made).toEqual([[`${tiny.url}/v1/uploads/ast_1`, 'ast_1']]);
    expect(sent.at(-1)).toBe(300_000);
    expect(sent).toEqual([...sent].sort((a, b) => a - b));
  });

  it('goes on where it was cut', async () => {
    tiny.cutAfter = 50_000;
    await upload().run(never);
    expect(tiny.bytes.equals(content)).toBe(true);
    expect(tiny.requests).toEqual(['POST', 'PATCH', 'HEAD', 'PATCH', 'PATCH', 'PATCH']);
    expect(stalls.map((p) => p?.status)).toEqual([undefined, 0, undefined]);
  });

  it('goes on in another life of the page', async () => {
    const stop = new AbortController();
    const first = upload({ wire: async (r) => {
      const answer = await fetchWire(r);
      if (r.method === 'PATCH') stop.abort();
      return answer;
    } });
    await expect(first.run(stop.signal)).rejects.toThrow('abort');
    expect(tiny.bytes.length).toBe(100_000);
    await upload({ url: first.url }).run(never);
    expect(tiny.bytes.equals(content)).toBe(true);
    expect(tiny.requests.filter((r) => r === 'POST')).toHaveLength(1);
  });

  it('refuses to go on with another file', async () => {
    const first = upload();
    await first.run(never);
    await expect(upload({ url: first.url, file: new Blob(['other']) }).run(never)).rejects.toMatchObject({ code: 'conflict' });
    expect(tiny.bytes.equals(content)).toBe(true);
  });

  it('begins anew when the server has forgotten it', async () => {
    await upload({ url: `${tiny.url}/v1/uploads/ast_0` }).run(never);
    expect(tiny.requests.slice(0, 2)).toEqual(['HEAD', 'POST']);
    expect(tiny.bytes.equals(content)).toBe(true);
  });

  it.each([423, 429, 500, 503, 507])('tries again after %d', async (status) => {
    tiny.refusals = [{ method: 'PATCH', status, body: `{"code":"c","detail":"d","status":${status}}` }];
    await upload().run(never);
    expect(stalls.find((p) => p)).toMatchObject({ status, code: 'c', detail: 'd' });
    expect(tiny.bytes.equals(content)).toBe(true);
  });

  it.each([400, 401, 403, 413])('gives up on %d', async (status) => {
    tiny.refusals = [{ method: 'POST', status, body: '{"detail":"too much"}' }];
    await expect(upload().run(never)).rejects.toMatchObject({ status, detail: 'too much' });
    expect(tiny.requests).toEqual(['POST']);
  });

  it('gives up after eight tries that bring nothing, but waits for room without end', async () => {
    const always = (status: number) => Array.from({ length: 20 }, () => ({ method: 'PATCH', status }));
    tiny.refusals = always(500);
    await expect(upload().run(never)).rejects.toMatchObject({ status: 500 });
    tiny.refusals = always(507);
    await upload().run(never);
    expect(tiny.bytes.equals(content)).toBe(true);
  });

  it('can be taken back', async () => {
    const one = upload();
    await one.run(never);
    await one.remove(never);
    expect(tiny.length).toBe(-1);
    await one.remove(never); // gone already
  });
});

describe('encodeMetadata', () => {
  it('writes pairs', () => expect(encodeMetadata({ a: 'b', name: 'é' })).toBe('a Yg==,name w6k='));
});

describe('fingerprint', () => {
  it('is the same for the same bytes, and only for them', async () => {
    const big = new Uint8Array(200_000);
    const of = (at: number) => {
      const copy = big.slice();
      copy[at] = 1;
      return fingerprint(new Blob([copy]));
    };
    expect(await fingerprint(new Blob([big]))).toBe(await fingerprint(new Blob([big])));
    const all = await Promise.all([fingerprint(new Blob([big])), of(0), of(199_999), fingerprint(new Blob([big, 'x']))]);
    expect(new Set(all).size).toBe(4);
    expect(await fingerprint(new Blob([]))).toMatch(/^0-/);
  });
});
