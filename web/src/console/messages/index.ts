import type { Locale } from '../../player/lib/i18n';
import * as assets from './assets';
import * as common from './common';
import * as edges from './edges';
import * as golive from './golive';
import * as manage from './manage';
import * as sites from './sites';
import * as streams from './streams';
import * as upload from './upload';

export const en = { ...common.en, ...assets.en, ...streams.en, ...golive.en, ...upload.en, ...manage.en, ...edges.en, ...sites.en };
export const zh: Readonly<Record<Key, string>> = { ...common.zh, ...assets.zh, ...streams.zh, ...golive.zh, ...upload.zh, ...manage.zh, ...edges.zh, ...sites.zh };

export type Key = keyof typeof en;

/** message returns the text of key, with {name} replaced from values. */
export function message(locale: Locale, key: Key, values: Readonly<Record<string, string | number>> = {}): string {
  return (locale === 'en' ? en : zh)[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
