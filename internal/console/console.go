// Package console holds the web pages of Liuyun, built from web/ and embedded
// in the program. It serves files and security headers; it decides nothing and
// knows no media.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// dist is what `npm run build` in web/ wrote: only .gitkeep before the first build.
//
//go:embed all:dist
var dist embed.FS

const (
	playerPage = "dist/player.html"

	// contentPolicy allows nothing from elsewhere. Media Source Extensions
	// need blob: for media, and hls.js makes its text tracks from an empty data: URL.
	contentPolicy = "default-src 'self'; media-src 'self' blob: data:; worker-src 'self'; " +
		"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

// Built reports whether the pages are in this program.
func Built() bool {
	_, err := fs.Stat(dist, playerPage)
	return err == nil
}

// Player serves the player page at /, its files below /assets/, and media
// below /media/, with that prefix removed and the ResponseWriter unwrapped.
// A program without pages answers 503 at / and still serves the media.
func Player(media http.Handler) http.Handler {
	return player(dist, media)
}

// player serves the pages of assets, which are below dist/ in it.
func player(assets fs.FS, media http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/media/", http.StripPrefix("/media", media))
	mux.Handle("GET /{$}", page(assets, playerPage))
	mux.HandleFunc("GET /assets/", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, assets, "dist"+r.URL.Path)
	})
	return mux
}

// page serves one HTML file, which browsers must revalidate: its assets carry
// their hashes in their names, it does not.
func page(assets fs.FS, name string) http.Handler {
	body, err := fs.ReadFile(assets, name)
	if err != nil {
		return http.HandlerFunc(notBuilt)
	}
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		secure(h)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	})
}

func notBuilt(w http.ResponseWriter, _ *http.Request) {
	secure(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "The web pages are not in this program. Run `make build`, then start it again.", http.StatusServiceUnavailable)
}

func serveAsset(w http.ResponseWriter, r *http.Request, assets fs.FS, name string) {
	secure(w.Header())
	body, err := fs.ReadFile(assets, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", assetType(name))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
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

func secure(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
