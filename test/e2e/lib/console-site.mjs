// Another site, on another origin: it has pages that embed a video, and takes the
// calls of a webhook.

import http from 'node:http';
import { once } from 'node:events';

/** openSite serves on loopback until close. pages are the bodies of its pages by path; calls what was posted to /hook. */
export async function openSite() {
  const pages = new Map();
  const calls = [];
  const server = http.createServer(async (request, response) => {
    if (request.method === 'POST' && request.url === '/hook') {
      let body = '';
      for await (const piece of request) body += piece;
      calls.push(JSON.parse(body));
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end('thank you');
      return;
    }
    const page = pages.get(request.url);
    response.writeHead(page === undefined && request.url !== '/favicon.ico' ? 404 : 200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(page === undefined ? '' : `<!doctype html><html lang="en"><title>A site</title><body style="margin:0"><main><h1>A site</h1>${page}</main>`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, pages, calls, close };
}
