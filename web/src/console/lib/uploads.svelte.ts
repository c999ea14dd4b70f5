import { randomName, type Client } from '../../api/client';
import { fingerprint } from '../../api/fingerprint';
import { Problem } from '../../api/problem';
import { Tus } from '../../api/tus';
import { xhrWire } from '../../api/wire';
import { UploadStore, type Kept, type UploadChoices } from './uploadstore';

/**
 * queued: waits for others · sending · stalled: tries again by itself · paused: by
 * the viewer · interrupted: its file has to be chosen again · done · failed.
 */
export type UploadState = 'queued' | 'sending' | 'stalled' | 'paused' | 'interrupted' | 'done' | 'failed';

/** One file on its way. */
export class Upload {
  state = $state<UploadState>('queued');
  sent = $state(0);
  /** bytes a second, over the last seconds */
  speed = $state(0);
  problem = $state.raw<Problem | undefined>();
  asset = $state('');
  url: string | undefined;
  fingerprint = '';
  stop: AbortController | undefined;
  private marks: { at: number; sent: number }[] = [];

  constructor(
    readonly id: string,
    readonly name: string,
    readonly size: number,
    readonly tenant: string,
    readonly choices: UploadChoices,
    public file: File | undefined,
    public handle: FileSystemFileHandle | undefined,
  ) {}

  get fraction(): number {
    return this.size > 0 ? this.sent / this.size : this.state === 'done' ? 1 : 0;
  }

  /** seconds that are left; undefined when unknown */
  get left(): number | undefined {
    return this.speed > 0 ? (this.size - this.sent) / this.speed : undefined;
  }

  moved(sent: number): void {
    const now = performance.now();
    if (sent < this.sent) this.marks = [];
    this.sent = sent;
    this.marks = [...this.marks.filter((m) => now - m.at < 6000), { at: now, sent }];
    const first = this.marks[0]!;
    this.speed = now - first.at > 500 ? ((sent - first.sent) * 1000) / (now - first.at) : this.speed;
  }
}

/** Files that are sent at once; the others wait. */
const atOnce = 2;
const keepEvery = 2000; // milliseconds

/** Picked is a file as the viewer gave it, with the browser's handle where there is one. */
export interface Picked {
  readonly file: File;
  readonly handle?: FileSystemFileHandle | undefined;
}

/** Uploads are all files on their way to the server, those of an earlier life of the page included. */
export class Uploads {
  list = $state.raw<readonly Upload[]>([]);
  readonly active = $derived(this.list.filter((u) => u.state === 'sending' || u.state === 'queued' || u.state === 'stalled'));
  private readonly store = new UploadStore();

  constructor(private readonly client: Client) {}

  /** restore lists what an earlier life of the page left unfinished. */
  async restore(): Promise<void> {
    for (const kept of await this.store.all()) {
      if (this.list.some((u) => u.id === kept.id)) continue;
      const upload = new Upload(kept.id, kept.name, kept.size, kept.tenant, kept.choices, undefined, kept.handle);
      Object.assign(upload, { url: kept.url, asset: kept.asset, fingerprint: kept.fingerprint, sent: kept.sent });
      upload.state = 'interrupted';
      this.list = [...this.list, upload];
      // Where the browser remembers the leave it goes on without a question.
      if ((await kept.handle?.queryPermission?.({ mode: 'read' })) === 'granted') await this.reopen(upload);
    }
  }

  /** add sends files. One that an unfinished upload was begun with goes on with that. */
  async add(picked: readonly Picked[], choices: UploadChoices): Promise<void> {
    for (const { file, handle } of picked) {
      const found = await this.unfinished(file);
      if (found) {
        this.begin(found, file);
        continue;
      }
      const upload = new Upload(randomName(), file.name, file.size, this.client.tenant, choices, file, handle);
      this.list = [...this.list, upload];
    }
    this.next();
  }

  pause(upload: Upload): void {
    upload.state = 'paused';
    upload.speed = 0;
    upload.stop?.abort();
    this.next();
  }

  /** resume goes on with a paused or failed upload. */
  resume(upload: Upload): void {
    if (!upload.file) return;
    upload.problem = undefined;
    upload.state = 'queued';
    this.next();
  }

  /** reopen goes on with an interrupted upload by the handle of its file; false when that is not possible. */
  async reopen(upload: Upload): Promise<boolean> {
    try {
      if ((await upload.handle?.requestPermission?.({ mode: 'read' })) !== 'granted') return false;
      const file = await upload.handle?.getFile();
      return file !== undefined && (await this.choose(upload, file));
    } catch {
      return false; // moved or deleted since
    }
  }

  /** choose goes on with an interrupted upload; false when file is not the one it was begun with. */
  async choose(upload: Upload, file: File): Promise<boolean> {
    if (file.size !== upload.size || (await fingerprint(file)) !== upload.fingerprint) return false;
    this.begin(upload, file);
    return true;
  }

  /** cancel stops an upload and deletes what the server has of it. */
  async cancel(upload: Upload): Promise<void> {
    this.forget(upload);
    if (upload.url === undefined) return;
    await this.tus(upload, new Blob()).remove(AbortSignal.timeout(30_000));
  }

  /** forget takes an upload from the list, and leaves what the server has. */
  forget(upload: Upload): void {
    upload.stop?.abort();
    this.list = this.list.filter((u) => u !== upload);
    void this.store.delete(upload.id);
    this.next();
  }

  /** gone forgets the upload of an asset that was deleted. */
  gone(asset: string): void {
    const upload = this.list.find((u) => u.asset === asset && u.state !== 'done');
    if (upload) this.forget(upload);
  }

  clear(): void {
    this.list = this.list.filter((u) => u.state !== 'done');
  }

  /** stopAll is for signing out: what is unfinished stays kept. */
  stopAll(): void {
    for (const upload of this.list) upload.stop?.abort();
    this.list = [];
  }

  private async unfinished(file: File): Promise<Upload | undefined> {
    const alike = this.list.filter((u) => u.size === file.size && u.fingerprint !== '' && (u.state === 'interrupted' || u.state === 'failed'));
    if (alike.length === 0) return undefined;
    const print = await fingerprint(file);
    return alike.find((u) => u.fingerprint === print);
  }

  private begin(upload: Upload, file: File): void {
    upload.file = file;
    this.resume(upload);
  }

  private next(): void {
    const busy = this.list.filter((u) => u.stop !== undefined).length;
    for (const upload of this.list.filter((u) => u.state === 'queued' && u.stop === undefined).slice(0, Math.max(0, atOnce - busy))) {
      void this.send(upload, upload.file!);
    }
  }

  private async send(upload: Upload, file: File): Promise<void> {
    const stop = new AbortController();
    upload.stop = stop;
    upload.state = 'sending';
    upload.problem = undefined;
    try {
      upload.fingerprint ||= await fingerprint(file);
      await this.tus(upload, file).run(stop.signal);
      upload.state = 'done';
      upload.sent = upload.size;
      void this.store.delete(upload.id);
    } catch (error) {
      if (!stop.signal.aborted) {
        upload.problem = error instanceof Problem ? error : new Problem(0, 'unreadable', '');
        upload.state = 'failed';
        upload.speed = 0;
      }
    } finally {
      upload.stop = undefined;
      this.next();
    }
  }

  private tus(upload: Upload, file: Blob): Tus {
    let kept = 0;
    const { policy, options } = upload.choices;
    return new Tus(
      {
        file,
        endpoint: '/v1/uploads',
        metadata: { filename: upload.name, playback_policy: policy, options: JSON.stringify(options) },
        headers: { 'X-Liuyun': '1', ...(upload.tenant && { 'Liuyun-Tenant': upload.tenant }) },
        wire: xhrWire,
        url: upload.url,
      },
      {
        made: (url, asset) => {
          upload.url = url;
          upload.asset = asset;
          void this.keep(upload);
        },
        progress: (sent) => {
          upload.moved(sent);
          if (performance.now() - kept < keepEvery) return;
          kept = performance.now();
          void this.keep(upload);
        },
        stalled: (problem) => {
          if (upload.state !== 'sending' && upload.state !== 'stalled') return;
          upload.state = problem ? 'stalled' : 'sending';
          upload.problem = problem;
          if (problem) upload.speed = 0;
        },
      },
    );
  }

  private async keep(upload: Upload): Promise<void> {
    const { id, url, asset, tenant, name, size, fingerprint, sent, choices, handle } = upload;
    if (!url || upload.state === 'done' || !this.list.includes(upload)) return;
    const kept: Kept = { id, url, asset, tenant, name, size, fingerprint, sent, choices, ...(handle && { handle }) };
    await this.store.put(kept);
  }
}
