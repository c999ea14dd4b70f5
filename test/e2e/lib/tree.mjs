// The folder under test: which files it holds, and how URIs in it resolve.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** A folder of manifests and media, read-only. Paths in and out are relative to it, with slashes. */
export class Tree {
  constructor(root) {
    this.root = path.resolve(root);
    this.sizes = new Map();
    for (const entry of fs.readdirSync(this.root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = path.join(entry.parentPath ?? entry.path, entry.name);
      this.sizes.set(this.relative(file), fs.statSync(file).size);
    }
  }

  relative(file) {
    return path.relative(this.root, file).split(path.sep).join('/');
  }

  /** The files whose name ends in suffix, sorted. */
  files(suffix) {
    return [...this.sizes.keys()].filter((name) => name.endsWith(suffix)).sort();
  }

  read(name) {
    return fs.readFileSync(path.join(this.root, name), 'utf8');
  }

  /** The size in bytes, or undefined where there is no such file. */
  size(name) {
    return this.sizes.get(name);
  }

  /** The URL that stands for a file of the tree. */
  url(name) {
    return pathToFileURL(path.join(this.root, name)).href;
  }

  /** The file that uri means in the file named from; it may lie outside the tree, or not exist. */
  resolve(uri, from) {
    const url = new URL(uri, this.url(from));
    url.hash = '';
    url.search = '';
    return url.protocol === 'file:' ? this.relative(fileURLToPath(url)) : url.href;
  }
}
