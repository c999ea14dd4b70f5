package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

func statusText(status int) string { return strconv.Itoa(status) }

// schemasAt is where the document has its schemas.
const schemasAt = "#/components/schemas/"

// newDocument returns an OpenAPI document without operations.
func newDocument(title, version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: title, Version: version},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry(schemasAt, huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"key":     {Type: "http", Scheme: "bearer", Description: "A key of the API, lyk_…; the scopes it needs are listed."},
				"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "Signed in to the console. Unsafe methods also need the header " + SameSiteHeader + ": 1."},
			},
		},
	}
}

// finished returns the document, in an order that does not depend on the order of
// adding. Nothing may be added after it was called.
func (a *API) finished() *huma.OpenAPI {
	document := a.huma.OpenAPI()
	a.finish.Do(func() { finish(document) })
	return document
}

func finish(document *huma.OpenAPI) {
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
	for name, schema := range document.Components.Schemas.Map() {
		addNull(schema, document.Components.Schemas.TypeFromRef(schemasAt+name))
	}
	slices.SortFunc(document.Tags, func(a, b *huma.Tag) int { return cmp.Compare(a.Name, b.Name) })
	document.Tags = slices.CompactFunc(document.Tags, func(a, b *huma.Tag) bool { return a.Name == b.Name })
}

// addNull says of the fields of a struct that hold a pointer to another, and are
// always written, that they may be null. It is what huma leaves out.
func addNull(schema *huma.Schema, of reflect.Type) {
	if of == nil || of.Kind() != reflect.Struct {
		return
	}
	for _, field := range reflect.VisibleFields(of) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if field.Type.Kind() != reflect.Pointer || property == nil || property.Ref == "" || strings.Contains(options, "omit") {
			continue
		}
		schema.Properties[name] = &huma.Schema{OneOf: []*huma.Schema{property, {Type: "null"}}}
	}
}

// Document returns the OpenAPI 3.1 document as YAML. The same operations, added
// in any order, give the same bytes.
func (a *API) Document() ([]byte, error) { return a.finished().YAML() }

// addDocument adds the operation that answers with the document itself.
func (a *API) addDocument() {
	encode := sync.OnceValues(func() ([]byte, error) { return json.Marshal(a.finished()) })
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
