package rule

import (
	"net/http"
	"strings"
)

// leastBody is what is worth compressing.
const leastBody = 1 << 10

// compress compresses an answer that is worth it, if the request takes that. A body of
// another length has no strong ETag any more: the same tag made weak still validates at
// the origin (RFC 9110, section 13.1.2).
func (t *transport) compress(r *http.Request, in *http.Response) {
	header := in.Header
	if in.StatusCode == http.StatusNotModified {
		addVary(in, "Accept-Encoding")
		weakenAsAsked(r, header)
		return
	}
	if !compressible(in) {
		return
	}
	addVary(in, "Accept-Encoding")
	coding := choose(r.Header["Accept-Encoding"])
	if coding == codingNone || r.Method != http.MethodGet || in.StatusCode != http.StatusOK || r.Header["Range"] != nil {
		return
	}
	body, ok := t.compressor.compress(coding, in.Body)
	if !ok {
		return
	}
	in.Body, in.ContentLength = body, -1
	header["Content-Encoding"] = []string{coding}
	for _, name := range []string{"Content-Length", "Accept-Ranges", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(header, name)
	}
	if tag := header.Get("Etag"); strings.HasPrefix(tag, `"`) {
		header["Etag"] = []string{"W/" + tag}
	}
}

// weakenAsAsked has a 304 name the weak tag where it was asked for by that.
func weakenAsAsked(r *http.Request, header http.Header) {
	tag := header.Get("Etag")
	if !strings.HasPrefix(tag, `"`) {
		return
	}
	for _, line := range r.Header["If-None-Match"] {
		if strings.Contains(line, "W/"+tag) {
			header["Etag"] = []string{"W/" + tag}
			return
		}
	}
}

// compressible reports whether an answer, or the whole that it is a part of, is of a kind
// that is compressed: text of a length that is worth it or is not known, and that neither
// is compressed already nor wants to stay as it is.
func compressible(in *http.Response) bool {
	header := in.Header
	switch in.StatusCode {
	case http.StatusOK:
		if in.ContentLength >= 0 && in.ContentLength < leastBody || header["Content-Range"] != nil {
			return false
		}
	case http.StatusPartialContent:
	default:
		return false
	}
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return false
	}
	return !hasDirective(header["Cache-Control"], "no-transform") && text(header.Get("Content-Type"))
}

// text reports whether a media type is text, or something else that is written without
// being compressed: text/*, what ends in +json, +xml, +text or +yaml, and those named
// here. Fonts are the old forms alone; WOFF is compressed in itself.
func text(mediaType string) bool {
	kind, _, _ := strings.Cut(mediaType, ";")
	kind = strings.ToLower(strings.Trim(kind, " \t"))
	if strings.HasPrefix(kind, "text/") {
		return true
	}
	if plus := strings.LastIndexByte(kind, '+'); plus >= 0 {
		switch kind[plus:] {
		case "+json", "+xml", "+text", "+yaml":
			return true
		}
	}
	switch kind {
	case "application/json", "application/javascript", "application/x-javascript", "application/ecmascript", "application/json5",
		"application/x-ndjson", "application/jsonl", "application/xml", "application/xml-dtd", "application/yaml", "application/x-yaml", "application/toml",
		"application/wasm", "application/sql", "application/graphql", "application/rtf", "application/x-sh", "application/postscript",
		"application/vnd.apple.mpegurl", "application/x-mpegurl", "application/mpegurl", "audio/mpegurl", "audio/x-mpegurl",
		"application/x-subrip", "application/vnd.ms-fontobject", "application/x-font-ttf", "application/x-font-otf", "font/ttf", "font/otf", "font/collection",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return false
}
