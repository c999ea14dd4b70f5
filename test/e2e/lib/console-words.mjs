// What the console says, as the story of console.mjs looks for it. Written down
// here once more, so that a page in the wrong language is noticed.

export const words = {
  en: {
    locale: 'en-US',
    signIn: 'Sign in', signOut: 'Sign out', signedInAs: /^Signed in with/, apiKey: 'API key',
    assets: 'Assets', usage: 'Usage', nodes: 'Nodes', webhooks: 'Webhooks', keys: 'API keys', tenants: 'Tenants', more: 'More',
    firstVideo: 'Your first video', addVideos: 'Add videos', chooseFiles: 'choose files', settings: 'Encoding settings', preset: 'Speed against size',
    search: 'Search by name', filter: 'Filter by state', noMatch: 'Nothing matches', clearFilter: 'Clear the filter', list: 'List', grid: 'Grid',
    chooseAgain: /^Choose the file: /, clearDone: 'Clear finished', failed: 'It could not be processed',
    play: 'Play', position: 'Position', quality: 'Quality', subtitles: 'Subtitles',
    addSubtitles: 'Add subtitles', subtitlesFile: 'File (SRT or WebVTT)', line: 'The river begins here.', file: 'en.vtt', language: 'English',
    embed: 'Embed', asScript: 'As a script', copy: 'Copy', delete: 'Delete', close: 'Close', name: 'Name', create: 'Create',
    createKey: 'Create a key', onlyNow: 'It is shown only now', revoke: 'Revoke',
    addWebhook: 'Add a webhook', address: 'Address', sendTest: 'Send a test', delivered: 'Delivered', resend: 'Resend',
    ready: 'Ready', load: 'Load', minutes: 'Minutes encoded', asTable: 'Show as a table',
    streams: 'Streams', firstStream: 'Your first live stream', newStream: 'New stream', server: 'Server', streamKey: 'Stream key', showKey: 'Show the key',
    ffmpeg: 'ffmpeg', anotherKey: 'Make another key', notOnAir: 'Not on air now', delay: /^Live [\d.]+ s$/, toLive: /Go to live$/,
    addressWithKey: 'Address with the key', record: 'Record', toRecording: 'To the recording', clip: 'Clip', makeClip: 'Make the clip', toClip: 'To the clip', stop: 'Stop', start: 'Start',
  },
  zh: {
    locale: 'zh-CN',
    signIn: '登录', signOut: '退出登录', signedInAs: /^已用 .* 登录$/, apiKey: 'API 密钥',
    assets: '媒体', usage: '用量', nodes: '节点', webhooks: 'Webhook', keys: 'API 密钥', tenants: '租户', more: '更多',
    firstVideo: '上传第一个视频', addVideos: '添加视频', chooseFiles: '选择文件', settings: '编码设置', preset: '速度与体积',
    search: '按名称搜索', filter: '按状态筛选', noMatch: '没有匹配的媒体', clearFilter: '清除筛选', list: '列表', grid: '网格',
    chooseAgain: /^选择文件: /, clearDone: '清除已完成', failed: '处理失败',
    play: '播放', position: '播放位置', quality: '画质', subtitles: '字幕',
    addSubtitles: '添加字幕', subtitlesFile: '文件（SRT 或 WebVTT）', line: '江水从这里开始。', file: 'zh.srt', language: /^中文/,
    embed: '嵌入', asScript: '脚本方式', copy: '复制', delete: '删除', close: '关闭', name: '名称', create: '创建',
    createKey: '创建密钥', onlyNow: '仅显示这一次', revoke: '吊销',
    addWebhook: '添加 Webhook', address: '地址', sendTest: '发送测试', delivered: '已送达', resend: '重新发送',
    ready: '就绪', load: '负载', minutes: '编码分钟数', asTable: '以表格显示',
    streams: '直播', firstStream: '创建第一个直播', newStream: '新建直播', server: '服务器', streamKey: '推流密钥', showKey: '显示密钥',
    ffmpeg: 'ffmpeg', anotherKey: '重新生成密钥', notOnAir: '尚未开播', delay: /^直播 [\d.]+ 秒$/, toLive: /回到直播$/,
    addressWithKey: '含密钥的地址', record: '录制', toRecording: '查看录像', clip: '剪辑', makeClip: '制作剪辑', toClip: '查看剪辑', stop: '停止', start: '启动',
  },
};
