// Package console holds the web pages of Liuyun, built from web/ and embedded
// in the program: the console, the player that other sites embed, and the player
// of a folder. It serves files and security headers; it decides nothing and
// knows no media.
package console

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"liuyun/internal/base/id"
)

// dist is what `npm run build` in web/ wrote: only .gitkeep before the first build.
//
//go:embed all:dist
var dist embed.FS

const (
	playerPage  = "dist/player.html"
	consolePage = "dist/console.html"
	embedPage   = "dist/embed.html"
	embedScript = "dist/embed.js"
)

// Built reports whether the pages are in this program.
func Built() bool {
	_, err := fs.Stat(dist, playerPage)
	return err == nil
}

// Player serves the player page at /, its files below /static/, and media
// below /media/, with that prefix removed and the ResponseWriter unwrapped.
// A program without pages answers 503 at / and still serves the media.
func Player(media http.Handler) http.Handler {
	return player(dist, media)
}

func player(assets fs.FS, media http.Handler) http.Handler {
	policy := contentPolicy(framedByOurselves)
	mux := http.NewServeMux()
	mux.Handle("/media/", http.StripPrefix("/media", media))
	mux.Handle("GET /{$}", page(assets, playerPage, policy))
	mux.Handle("GET /static/", files(assets, "/static/", policy))
	return mux
}

// Console serves the console at /console/ and its files below /console/static/.
// Every other path below /console/ is a place inside the page, which shows what
// belongs there; names of files are 404. Viewers are the origins, besides its
// own, that media comes from, such as "https://media.example".
// The API has to be at /v1 of the same origin. A program without pages answers 503.
func Console(viewers ...string) http.Handler {
	return consoleOf(dist, viewers)
}

func consoleOf(assets fs.FS, viewers []string) http.Handler {
	policy := contentPolicy(framedByNobody, viewers...)
	index := page(assets, consolePage, policy)
	mux := http.NewServeMux()
	mux.Handle("GET /console/static/", files(assets, "/console/static/", policy))
	mux.HandleFunc("GET /console/", func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) != "" {
			notFound(w, r, policy)
			return
		}
		index.ServeHTTP(w, r)
	})
	return mux
}

// Embed serves, to any site, the page that plays one asset or stream in a frame at
// /embed/[~token/]<asset or stream>, its files below /embed/static/, and the script
// /embed.js that puts such a frame into a page. The media has to be at /play of
// the same origin, where the token is checked, and may lead from there to viewers: origins,
// or "https:" for all. A program without pages answers 503.
func Embed(viewers ...string) http.Handler {
	return embedOf(dist, viewers)
}

func embedOf(assets fs.FS, viewers []string) http.Handler {
	policy := contentPolicy(framedByAnyone, viewers...)
	index := page(assets, embedPage, policy)
	mux := http.NewServeMux()
	mux.Handle("GET /embed.js", script(assets, embedScript, policy))
	mux.Handle("GET /embed/static/", files(assets, "/embed/static/", policy))
	mux.HandleFunc("GET /embed/", func(w http.ResponseWriter, r *http.Request) {
		if !playable(strings.TrimPrefix(r.URL.Path, "/embed/")) {
			notFound(w, r, policy)
			return
		}
		index.ServeHTTP(w, r)
	})
	return mux
}

// playable reports whether a path is [~token/]<asset or stream>.
func playable(name string) bool {
	if rest, signed := strings.CutPrefix(name, "~"); signed {
		token, media, found := strings.Cut(rest, "/")
		if !found || token == "" {
			return false
		}
		name = media
	}
	return id.Valid("ast", name) || id.Valid("str", name)
}
