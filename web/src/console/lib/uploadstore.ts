import type { EncodeOptions, Policy } from '../../api/types';

/** What is needed to go on with an upload after the page was loaded anew. */
export interface Kept {
  readonly id: string;
  readonly url: string;
  readonly asset: string;
  readonly tenant: string;
  readonly name: string;
  readonly size: number;
  readonly fingerprint: string;
  readonly sent: number;
  readonly choices: UploadChoices;
  /** Chromium gives a handle to the file, which can be opened again with the viewer's leave */
  readonly handle?: FileSystemFileHandle;
}

export interface UploadChoices {
  readonly policy: Policy;
  readonly options: EncodeOptions;
}

const name = 'liuyun.uploads';

/**
 * UploadStore keeps unfinished uploads in IndexedDB, the only storage that takes
 * file handles. Where the browser refuses it, nothing is kept and uploads work
 * until the page is closed.
 */
export class UploadStore {
  private database: Promise<IDBDatabase> | undefined;

  all = (): Promise<Kept[]> => this.with('readonly', (store) => store.getAll() as IDBRequest<Kept[]>).then((found) => found ?? []);

  async put(kept: Kept): Promise<void> {
    await this.with('readwrite', (store) => store.put(kept));
  }

  async delete(id: string): Promise<void> {
    await this.with('readwrite', (store) => store.delete(id));
  }

  private async with<T>(mode: IDBTransactionMode, fn: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
    try {
      this.database ??= open();
      const database = await this.database;
      return await result(fn(database.transaction('uploads', mode).objectStore('uploads')));
    } catch {
      return undefined;
    }
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore('uploads', { keyPath: 'id' });
  return result(request);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
