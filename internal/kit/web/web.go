// Package web serves the API: operations with typed input and output, described
// by an OpenAPI document that is made from them. In front of each it checks who
// asks and what the request holds; behind it, it answers errors as problem
// documents and tells of each request in the log and in metrics. It is the only
// package that knows huma. It decides nothing about what is served.
package web

import (
	"log/slog"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/obs"
)

// Options are what an API needs. Authenticate and Log must be set.
type Options struct {
	Title   string
	Version string

	// Authenticate finds who makes a request: fault.Forbidden when nobody is signed
	// in, which is answered with 401. It must look at the Authorization header before
	// any cookie.
	Authenticate func(*http.Request) (guard.Principal, error)

	// Headers are what Authenticate reads besides, for the document.
	Headers []Param

	Idempotency Idempotency   // nil: the Idempotency-Key header is not looked at
	Metrics     *obs.Registry // nil: nothing is counted
	Log         *slog.Logger
}

// API is a set of operations. All are added before the first request.
type API struct {
	options Options
	mux     *http.ServeMux
	huma    huma.API
	problem *huma.Schema // a reference to the schema of problem
	watcher *watcher
	origin  *http.CrossOriginProtection
	finish  sync.Once // brings the document into order
}

// New returns an API with one operation, GET /v1/openapi.json.
func New(o Options) *API {
	a := &API{options: o, mux: http.NewServeMux(), watcher: newWatcher(o.Log, o.Metrics), origin: http.NewCrossOriginProtection()}
	document := newDocument(o.Title, o.Version)
	a.huma = huma.NewAPI(huma.Config{
		OpenAPI:                      document,
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{translate},
	}, adapter{a})
	a.problem = document.Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	a.addDocument()
	return a
}

// Handler serves the operations and the page that shows them, GET /docs. Every
// other path is answered with 404, a method that a path has not with 405.
func (a *API) Handler() http.Handler {
	a.finished() // while nobody reads the schemas, which requests are checked with
	pages := a.pages()
	miss := a.watcher.watch(Op{ID: "none"}, false, http.HandlerFunc(a.miss))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := pages.Handler(r); pattern != "" {
			pages.ServeHTTP(w, r)
			return
		}
		if _, pattern := a.mux.Handler(r); pattern != "" {
			a.mux.ServeHTTP(w, r)
			return
		}
		miss.ServeHTTP(w, r)
	})
}

// miss answers what no operation is for, in the words of problems.
func (a *API) miss(w http.ResponseWriter, r *http.Request) {
	probe := &held{header: http.Header{}}
	a.mux.ServeHTTP(probe, r) // knows which methods the path has
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		Problem(w, r, WithStatus(http.StatusMethodNotAllowed, fault.New(fault.Invalid, "%s does not know the method %s; it knows %s", r.URL.Path, r.Method, allow)))
		return
	}
	Problem(w, r, fault.New(fault.NotFound, "there is nothing at %s; GET /docs shows what there is", r.URL.Path))
}
