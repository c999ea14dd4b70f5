package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed docs/page.html docs/docs.js docs/docs.css
var docsFiles embed.FS

// docsPolicy lets the page load its own script and style and ask this server,
// nothing else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages serves GET /docs, which shows the document and lets people try it.
func (a *API) pages() *http.ServeMux {
	mux := http.NewServeMux()
	root, err := fs.Sub(docsFiles, "docs")
	if err != nil {
		panic(err) // the files are part of the program
	}
	serve := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", docsPolicy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("X-Frame-Options", "DENY")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, root, name)
		}
	}
	mux.Handle("GET /docs", serve("page.html"))
	mux.Handle("GET /docs/docs.js", serve("docs.js"))
	mux.Handle("GET /docs/docs.css", serve("docs.css"))
	return mux
}
