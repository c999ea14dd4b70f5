// Package vod serves packaged video on demand over HTTP. It reads what the
// encoder wrote and never changes it; it makes no manifests, checks no tokens
// and draws no pages.
package vod

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
)

// manifests are the names of which a packaged folder has at least one.
var manifests = [...]string{"master.m3u8", "manifest.mpd"}

// maxRanges bounds the parts of one answer. Players ask for one range; a
// request for more than this gets the whole file, as RFC 9110 §14.2 allows.
const maxRanges = 8

// Folder is an http.Handler that serves one packaged folder: GET, HEAD and
// OPTIONS, byte ranges, conditional requests and cross-origin reads. The
// request path is the file's path in the folder: mount it with
// http.StripPrefix, and never behind a wrapped ResponseWriter, so that files
// leave by sendfile.
//
// Directories are not listed. Names that start with a dot, links that leave
// the folder and anything but a regular file are answered 404.
type Folder struct {
	// Revalidate makes clients ask again before they use a segment a second
	// time. Set it where the folder may be encoded anew under the same URL;
	// by default segments are immutable for a year. Set it before serving.
	Revalidate bool

	root *os.Root
}

// NewFolder opens dir, which must hold master.m3u8 or manifest.mpd. Its errors
// are faults that a person can read: not_found and invalid. The caller closes
// the Folder.
func NewFolder(dir string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, "there is no folder %q", dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the folder %q cannot be opened", dir)
	}
	for _, name := range manifests {
		if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
			return &Folder{root: root}, nil
		}
	}
	root.Close()
	return nil, fault.New(fault.Invalid,
		"%q holds no master.m3u8 and no manifest.mpd: make them with `liuyun encode IN -o %s`", dir, dir)
}

// Close releases the folder. Requests after it are answered 404.
func (f *Folder) Close() error { return f.root.Close() }

// ServeHTTP answers one request.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allowAnyOrigin(w.Header())
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		f.serveFile(w, r)
	case http.MethodOptions:
		answerOptions(w)
	default:
		w.Header().Set("Allow", allowedMethods)
		http.Error(w, "only "+allowedMethods+" are answered here", http.StatusMethodNotAllowed)
	}
}

func (f *Folder) serveFile(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	file, info, err := f.open(name)
	if err != nil {
		http.Error(w, "no such file in this presentation", http.StatusNotFound)
		return
	}
	defer file.Close()

	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", f.cacheControl(name))
	h.Set("ETag", entityTag(info))
	http.ServeContent(w, withinRangeLimit(r), "", info.ModTime(), file)
}

// open returns the regular file called name, which comes from outside.
func (f *Folder) open(name string) (*os.File, fs.FileInfo, error) {
	if !servable(name) {
		return nil, nil, fs.ErrNotExist
	}
	// Asked before opening: opening a named pipe would wait for its writer.
	if info, err := f.root.Stat(name); err != nil || !info.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("open %q: %w", name, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("stat %q: %w", name, err)
	}
	return file, info, nil
}

// servable reports whether name is a clean relative path without hidden parts.
func servable(name string) bool {
	return fs.ValidPath(name) && !strings.HasPrefix(name, ".") &&
		!strings.Contains(name, "/.") && !strings.ContainsRune(name, 0)
}

// entityTag is a strong validator: the encoder replaces files whole, so size
// and modification time in nanoseconds name the bytes.
func entityTag(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.Size(), 36) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 36) + `"`
}

// withinRangeLimit returns r, without its Range header where that names too
// many ranges.
func withinRangeLimit(r *http.Request) *http.Request {
	if strings.Count(r.Header.Get("Range"), ",") < maxRanges {
		return r
	}
	limited := r.Clone(r.Context())
	limited.Header.Del("Range")
	return limited
}

// contentType is the media type of the file called name. Nothing in a folder
// is ever a page or a script to a browser.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".m3u8":
		return "application/vnd.apple.mpegurl"
	case ".mpd":
		return "application/dash+xml"
	case ".m4s":
		return "video/iso.segment"
	case ".mp4":
		if strings.HasPrefix(name, "audio/") {
			return "audio/mp4"
		}
		return "video/mp4"
	case ".m4a":
		return "audio/mp4"
	case ".vtt":
		return "text/vtt; charset=utf-8"
	case ".jpg":
		return "image/jpeg"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}

// cacheControl lets segments and pictures live for a year, and manifests and
// all else for a moment, after which the ETag decides.
func (f *Folder) cacheControl(name string) string {
	if f.Revalidate {
		return "no-cache"
	}
	switch path.Ext(name) {
	case ".m4s", ".mp4", ".m4a", ".jpg":
		return "public, max-age=31536000, immutable"
	}
	return "public, max-age=5"
}
