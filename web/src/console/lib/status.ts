import type { Asset, Status } from '../../api/types';
import type { Key } from '../messages';

export const statuses: readonly Status[] = ['ready', 'recording', 'processing', 'queued', 'uploading', 'failed', 'created'];

export const statusWords: Readonly<Record<Status, Key>> = {
  created: 'statusCreated',
  uploading: 'statusUploading',
  queued: 'statusQueued',
  processing: 'statusProcessing',
  recording: 'statusRecording',
  ready: 'statusReady',
  failed: 'statusFailed',
};

const phaseWords: Readonly<Record<string, Key>> = {
  upload: 'phaseUpload',
  import: 'phaseImport',
  analyse: 'phaseAnalyse',
  encode: 'phaseEncode',
  package: 'phasePackage',
};

/** stateWord says in one word what happens to an asset now. */
export function stateWord(asset: Asset): Key {
  if (asset.waiting_for === 'storage') return 'waitingStorage';
  const working = asset.status === 'processing' || asset.status === 'uploading' || (asset.status === 'queued' && asset.progress > 0);
  return (working && phaseWords[asset.phase]) || statusWords[asset.status];
}

export function stateTone(asset: Asset): 'good' | 'bad' | 'warn' | 'busy' | '' {
  if (asset.waiting_for) return 'warn';
  if (asset.status === 'ready') return 'good';
  if (asset.status === 'failed') return 'bad';
  return asset.status === 'processing' || asset.status === 'uploading' || asset.status === 'recording' ? 'busy' : '';
}

/** moving reports whether an asset has a progress to show. */
export const moving = (asset: Asset): boolean => asset.status === 'processing' || asset.status === 'uploading' || (asset.status === 'queued' && asset.progress > 0);

/** isAsset tells a whole asset, as most events carry it, from a part of one. */
export function isAsset(data: unknown): data is Asset {
  return typeof data === 'object' && data !== null && 'id' in data && 'renditions' in data && 'options' in data;
}

/** idOf is the id of what an event is about. */
export function idOf(data: unknown): string {
  return typeof data === 'object' && data !== null && 'id' in data && typeof data.id === 'string' ? data.id : '';
}
