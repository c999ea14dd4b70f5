import type { Client } from '../../api/client';
import type { Asset, AssetProgress } from '../../api/types';
import { idOf, isAsset } from './status';

export interface Filter {
  readonly status: string;
  readonly q: string;
}

const pageSize = 48;

/** AssetList is what one filter finds, newest first, kept true by events. */
export class AssetList {
  assets = $state.raw<readonly Asset[]>([]);
  loading = $state(true);
  problem = $state.raw<unknown>();
  next = $state('');
  filter: Filter = { status: '', q: '' };
  private turn = 0;

  constructor(private readonly client: Client) {}

  /** load begins anew with a filter; what is shown stays until the answer is there. */
  async load(filter: Filter): Promise<void> {
    this.filter = filter;
    await this.fetch('');
  }

  more = (): Promise<void> => this.fetch(this.next);

  /** take follows an event of the stream. */
  take(type: string, data: unknown): void {
    const id = idOf(data);
    if (type === 'asset.deleted') this.assets = this.assets.filter((a) => a.id !== id);
    else if (type === 'asset.progress') this.change(id, data as AssetProgress);
    else if (type.startsWith('asset.') && isAsset(data)) this.put(data);
    else if (type.startsWith('asset.')) void this.client.asset(id).then((asset) => this.put(asset), () => undefined);
  }

  private async fetch(after: string): Promise<void> {
    const turn = ++this.turn;
    this.loading = true;
    this.problem = undefined;
    try {
      const { status, q } = this.filter;
      const page = await this.client.assets({ status, q, limit: pageSize, after: after || undefined });
      if (turn !== this.turn) return;
      const known = new Set(after ? this.assets.map((a) => a.id) : []);
      this.assets = [...(after ? this.assets : []), ...page.data.filter((a) => !known.has(a.id))];
      this.next = page.next;
    } catch (error) {
      if (turn === this.turn) this.problem = error;
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  private change(id: string, progress: AssetProgress): void {
    this.assets = this.assets.map((a) => (a.id === id ? { ...a, ...progress } : a));
  }

  private put(asset: Asset): void {
    const { status, q } = this.filter;
    const fits = (!status || asset.status === status) && asset.name.toLowerCase().includes(q.toLowerCase());
    const at = this.assets.findIndex((a) => a.id === asset.id);
    if (at >= 0) {
      if (asset.rev >= this.assets[at]!.rev) this.assets = this.assets.map((a) => (a.id === asset.id ? asset : a));
    } else if (fits && (this.assets.length === 0 || asset.id > this.assets[0]!.id)) this.assets = [asset, ...this.assets];
  }
}
