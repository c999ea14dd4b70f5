import { describe, expect, it } from 'vitest';
import { localeOf, message, type Key } from './i18n';
import { shortcuts } from './keys';
import { en } from './messages.en';
import { zh } from './messages.zh';

const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

describe('messages', () => {
  it('has the same keys in each language', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it.each(Object.keys(en) as Key[])('%s is written, with the same values, in each language', (key) => {
    expect(zh[key].trim()).not.toBe('');
    expect(holes(zh[key])).toEqual(holes(en[key]));
    expect(zh[key].split('`').length).toBe(en[key].split('`').length);
  });

  it.each(shortcuts.map((s) => s.action))('explains the shortcut %s', (action) => {
    expect(en).toHaveProperty(`key${action[0]!.toUpperCase()}${action.slice(1)}`);
  });

  it('fills in values and keeps unknown ones visible', () => {
    expect(message('en', 'seekValue', { now: '0:01', total: '0:30' })).toBe('0:01 of 0:30');
    expect(message('zh-CN', 'seekValue', { now: '0:01' })).toBe('0:01，共 {total}');
  });
});

describe('localeOf', () => {
  it.each([
    [['zh-CN', 'en'], 'zh-CN'],
    [['zh-Hans-SG'], 'zh-CN'],
    [['en-GB', 'zh'], 'en'],
    [['de', 'zh-TW', 'en'], 'zh-CN'],
    [['de'], 'en'],
    [[], 'en'],
  ])('%j is %s', (preferred, want) => expect(localeOf(preferred)).toBe(want));
});
