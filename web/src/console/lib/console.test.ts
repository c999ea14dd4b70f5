import { describe, expect, it } from 'vitest';
import { offline, readProblem } from '../../api/problem';
import type { Locale } from '../../player/lib/i18n';
import { message, type Key } from '../messages';
import { explain, explainFailure, explainWarning } from './console';

const words = (locale: Locale) => ({ locale, t: (key: Key, values?: Readonly<Record<string, string | number>>) => message(locale, key, values) });
const answer = (status: number, body: object) => readProblem(status, JSON.stringify(body));

describe('explain', () => {
  const conflict = answer(409, { code: 'conflict', detail: 'the stream is on air; end it first' });
  const invalid = answer(422, { code: 'invalid', detail: 'name is empty', errors: [{ location: 'body.name', message: 'too short' }] });

  it.each([
    ['the server’s sentence in English', conflict, 'en', 'The stream is on air; end it first'],
    ['what the code means before it in Chinese', conflict, 'zh-CN', '当前状态下无法执行该操作，请刷新后查看。详情：The stream is on air; end it first'],
    ['the fields too', invalid, 'zh-CN', '输入有误，服务器未接受。详情：Name is empty name: too short'],
    ['the code alone where the server says no more', answer(507, { code: 'storage_full' }), 'zh-CN', '服务器空间不足，请清理后重试。'],
    ['the same in English', answer(507, { code: 'storage_full' }), 'en', 'The server has no room left. Delete something, then try again.'],
    ['what a newer server says by a code that is not known', answer(418, { code: 'teapot', detail: 'short and stout' }), 'zh-CN', 'Short and stout'],
    ['the status of a proxy’s page', readProblem(502, '<html>'), 'zh-CN', '服务器返回 502，未说明原因。'],
    ['that there was no answer', offline(), 'zh-CN', '无法连接服务器。请检查网络后重试。'],
    ['whatever else it is', new Error('x'), 'zh-CN', '发生意外错误：Error: x'],
  ] as const)('says %s', (_, error, locale, want) => expect(explain(error, words(locale))).toBe(want));
});

describe('explainFailure', () => {
  it.each([
    ['the server’s sentence in English', { code: 'invalid', message: 'notes.txt is not a media file' }, 'en', 'notes.txt is not a media file'],
    ['that it is the file, in Chinese', { code: 'invalid', message: 'this is not a media file' }, 'zh-CN', '此文件无法处理。详情：This is not a media file'],
    ['that it is not the file', { code: 'storage_full', message: '' }, 'zh-CN', '服务器空间不足，请清理后重试。'],
  ] as const)('says %s', (_, error, locale, want) => expect(explainFailure(error, words(locale))).toBe(want));
});

describe('explainWarning', () => {
  it.each([
    ['the server’s sentence in English', { code: 'interlaced', message: 'the picture is interlaced' }, 'en', 'The picture is interlaced'],
    ['what it means before that in Chinese', { code: 'interlaced', message: 'the picture is interlaced' }, 'zh-CN', '画面为隔行扫描，已去隔行。详情：The picture is interlaced'],
    ['what a newer server warns of', { code: 'smell', message: 'it smells' }, 'zh-CN', 'It smells'],
  ] as const)('says %s', (_, warning, locale, want) => expect(explainWarning(warning, words(locale))).toBe(want));
});
