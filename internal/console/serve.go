package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// framing says whose pages may show one of ours in a frame.
type framing string

const (
	framedByNobody    framing = "'none'"
	framedByOurselves framing = "'self'"
	framedByAnyone    framing = "*"
)

// contentPolicy allows nothing from elsewhere but media of viewers. Media Source
// Extensions need blob: for media, and hls.js makes its text tracks from an empty
// data: URL.
func contentPolicy(by framing, viewers ...string) string {
	from := strings.Join(slices.Concat([]string{"'self'"}, viewers), " ")
	return "default-src 'self'; connect-src " + from + "; img-src " + from + "; media-src " + from + " blob: data:; " +
		"worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors " + string(by)
}

// page serves one HTML file, which browsers must revalidate: its files carry
// their hashes in their names, it does not.
func page(assets fs.FS, name, policy string) http.Handler {
	return revalidated(assets, name, "text/html; charset=utf-8", policy, "no-cache")
}

// script serves a file that other sites name, so that its name cannot change.
func script(assets fs.FS, name, policy string) http.Handler {
	return revalidated(assets, name, assetType(name), policy, "public, max-age=3600")
}

func revalidated(assets fs.FS, name, contentType, policy, cache string) http.Handler {
	body, err := fs.ReadFile(assets, name)
	if err != nil {
		return notBuilt(policy)
	}
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		secure(h, policy)
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", cache)
		h.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}

func notBuilt(policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		secure(w.Header(), policy)
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "The web pages are not in this program. Run `make build`, then start it again.", http.StatusServiceUnavailable)
	})
}

func notFound(w http.ResponseWriter, r *http.Request, policy string) {
	secure(w.Header(), policy)
	w.Header().Set("Cache-Control", "no-store")
	http.NotFound(w, r)
}

// files serves the hashed files of the pages below prefix.
func files(assets fs.FS, prefix, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "dist/static/" + strings.TrimPrefix(r.URL.Path, prefix)
		body, err := fs.ReadFile(assets, name)
		if err != nil {
			notFound(w, r, policy)
			return
		}
		secure(w.Header(), policy)
		w.Header().Set("Content-Type", assetType(name))
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}

// assetType does not ask the system's table of types, which differs between
// machines.
func assetType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	return "application/octet-stream"
}

func secure(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
