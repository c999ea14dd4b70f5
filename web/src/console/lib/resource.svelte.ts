import type { Page } from '../../api/types';

/** Resource is something that a page shows: loaded, shown while it is loaded anew, or a problem. */
export class Resource<T> {
  data = $state.raw<T | undefined>();
  problem = $state.raw<unknown>();
  private turn = 0;

  constructor(private readonly get: () => Promise<T>) {}

  load = async (): Promise<void> => {
    const turn = ++this.turn;
    try {
      const data = await this.get();
      if (turn !== this.turn) return;
      this.data = data;
      this.problem = undefined;
    } catch (error) {
      if (turn === this.turn) this.problem = error;
    }
  };
}

const pageSize = 200;
const mostPages = 25;

/** all reads a short list to its end: keys, nodes, webhooks, tenants are at most 5,000 here. */
export async function all<T>(list: (query: { limit: number; after: string | undefined }) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  let after: string | undefined;
  for (let i = 0; i < mostPages; i++) {
    const page = await list({ limit: pageSize, after });
    found.push(...page.data);
    if (!page.next) break;
    after = page.next;
  }
  return found;
}
