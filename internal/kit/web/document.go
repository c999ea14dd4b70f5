package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

func statusText(status int) string { return strconv.Itoa(status) }

// newDocument returns an OpenAPI document without operations.
func newDocument(title, version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: title, Version: version},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"key":     {Type: "http", Scheme: "bearer", Description: "A key of the API, lyk_…; the scopes it needs are listed."},
				"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "Signed in to the console. Unsafe methods also need the header " + SameSiteHeader + ": 1."},
			},
		},
	}
}

// finish brings the document into an order that does not depend on the order of
// adding.
func (a *API) finish() *huma.OpenAPI {
	document := a.huma.OpenAPI()
	for _, name := range []string{"ErrorModel", "ErrorDetail"} { // huma's own; answers use Problem
		delete(document.Components.Schemas.Map(), name)
	}
	document.Tags = nil
	for _, item := range document.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete, item.Head, item.Options} {
			if op == nil {
				continue
			}
			for _, tag := range op.Tags {
				document.Tags = append(document.Tags, &huma.Tag{Name: tag})
			}
		}
	}
	slices.SortFunc(document.Tags, func(a, b *huma.Tag) int { return cmp.Compare(a.Name, b.Name) })
	document.Tags = slices.CompactFunc(document.Tags, func(a, b *huma.Tag) bool { return a.Name == b.Name })
	return document
}

// Document returns the OpenAPI 3.1 document as YAML. The same operations, added
// in any order, give the same bytes.
func (a *API) Document() ([]byte, error) { return a.finish().YAML() }

// addDocument adds the operation that answers with the document itself.
func (a *API) addDocument() {
	encode := sync.OnceValues(func() ([]byte, error) { return json.Marshal(a.finish()) })
	op := Op{ID: "get-openapi", Method: http.MethodGet, Path: "/v1/openapi.json", Tag: "API", Public: true, Summary: "This document"}
	a.Raw(op, Media{Response: "application/json"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := encode()
		if err != nil {
			Problem(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Access-Control-Allow-Origin", "*") // it is public: tools of other sites may read it
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		w.Write(text)
	}))
}
