import type { Picked } from './uploads.svelte';

declare global {
  // The File System Access API, which Chromium has.
  interface DataTransferItem {
    getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
  }
  interface FileSystemHandle {
    queryPermission?(options: { mode: 'read' }): Promise<PermissionState>;
    requestPermission?(options: { mode: 'read' }): Promise<PermissionState>;
  }
}

/** hasFiles reports whether what is dragged is files. */
export function hasFiles(transfer: DataTransfer | null): boolean {
  return transfer !== null && Array.from(transfer.types).includes('Files');
}

/** dropped lists the files of a drop; folders are left out. It has to be called within the event. */
export async function dropped(transfer: DataTransfer): Promise<Picked[]> {
  const waiting = Array.from(transfer.items, async (item): Promise<Picked | undefined> => {
    const file = item.kind === 'file' ? item.getAsFile() : null;
    if (!file || item.webkitGetAsEntry()?.isDirectory) return undefined;
    const handle = await item.getAsFileSystemHandle?.().catch(() => null);
    return { file, handle: handle?.kind === 'file' ? (handle as FileSystemFileHandle) : undefined };
  });
  return (await Promise.all(waiting)).filter((p) => p !== undefined);
}
