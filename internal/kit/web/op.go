package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Op describes an operation of the API: one method of one path.
type Op struct {
	ID          string // unique, in kebab case: "list-assets"
	Method      string
	Path        string // as in net/http patterns: /v1/assets/{id}
	Tag         string // under which the document lists it: "Assets"
	Summary     string // one line
	Description string
	Scope       string // that a key needs; "" for every key
	Status      int    // of success; 0: 200, or 204 when there is no body
	MaxBody     int64  // bytes; 0: 1 MiB. It does not bound raw operations
	Public      bool   // needs no key
}

// Media says what a raw operation takes and answers, for the document.
type Media struct {
	Request  string // media type, such as "application/octet-stream" or "text/*"; "" for no body
	Response string // media type, such as "text/event-stream"; "" for no body
	// Takes and Gives are the types of the bodies where those are JSON.
	Takes, Gives reflect.Type
	Optional     bool // the body of a request may be left out
	Params       []Param
	Headers      []Param // of the answer; In and Required are not looked at
}

// Param is a query parameter or header that a raw operation reads.
type Param struct {
	In          string // "query" or "header"
	Name        string
	Description string
	Required    bool
}

func (p Param) document() *huma.Param {
	return &huma.Param{Name: p.Name, In: p.In, Description: p.Description, Required: p.Required, Schema: &huma.Schema{Type: huma.TypeString}}
}

// maxBody is the default of Op.MaxBody.
const maxBody = 1 << 20

// Add adds an operation. Fields of I are tagged path, query or header, or are
// named Body; O has Body and fields tagged header. Tags such as minLength, maximum,
// enum and doc are checked and documented; a slice says nullable:"false" and is then
// never nil. Fn gets a context that carries the principal; what it returns as error
// becomes a problem document (see [Problem]). Add panics when the description is
// wrong, for that is a mistake in the program.
func Add[I, O any](a *API, op Op, fn func(ctx context.Context, in *I) (*O, error)) {
	if op.MaxBody == 0 {
		op.MaxBody = maxBody
	}
	described := a.describe(op)
	if a.repeatable(op) {
		described.Parameters = append(described.Parameters, Param{In: "header", Name: idempotencyHeader,
			Description: "Any text of at most 255 characters, such as a random UUID. Who sends the same request again with it within 24 hours gets the first answer again."}.document())
	}
	huma.Register(a.huma, described, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			e := exchangeOf(ctx)
			e.err = err
			return nil, problemOf(err, e.id)
		}
		return out, nil
	})
}

// Raw adds an operation whose handler reads and writes by itself, such as tus or
// server-sent events. Authentication, scope and the rule for cookies are checked
// in front; the ResponseWriter is the server's own, not wrapped. The request's
// context carries the principal. Path values come by r.PathValue. Headers for the
// answers of an API are set already; the handler may change them.
func (a *API) Raw(op Op, media Media, handler http.Handler) {
	described := a.describe(op)
	for _, name := range pathNames(op.Path) {
		described.Parameters = append(described.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	for _, p := range media.Params {
		described.Parameters = append(described.Parameters, p.document())
	}
	if media.Request != "" {
		described.RequestBody = &huma.RequestBody{Required: !media.Optional, Content: a.content(media.Request, media.Takes)}
	}
	status := op.Status
	if status == 0 {
		status = http.StatusOK
		if media.Response == "" {
			status = http.StatusNoContent
		}
	}
	answer := &huma.Response{Description: http.StatusText(status)}
	if media.Response != "" {
		answer.Content = a.content(media.Response, media.Gives)
	}
	for _, h := range media.Headers {
		if answer.Headers == nil {
			answer.Headers = map[string]*huma.Param{}
		}
		answer.Headers[h.Name] = &huma.Param{Description: h.Description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	described.Responses[statusText(status)] = answer
	described.Path = strings.ReplaceAll(described.Path, "...}", "}")
	a.huma.OpenAPI().AddOperation(&described)
	a.mux.Handle(op.Method+" "+op.Path, a.watcher.watch(op, true, a.access(op, patient(op, handler))))
}

// stallTime is how long a client may send nothing of the body of a raw operation.
const stallTime = time.Minute

// patient lets the body of a raw operation take as long as it does, while it comes
// on. From somebody unknown it is small, and has the time that the server gives it.
func patient(op Op, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !op.Public && r.Body != nil && r.Body != http.NoBody {
			body := &patientBody{r.Body, http.NewResponseController(w)}
			body.wait()
			r.Body = body
		}
		next.ServeHTTP(w, r)
	})
}

type patientBody struct {
	io.ReadCloser
	deadline *http.ResponseController
}

// Read gives the next one its time when something has come: a handler that ends the
// time itself, to be rid of a client, is not overruled. At the end the connection is
// as it was: the server goes on to read from it, to notice when the client goes.
func (b *patientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
		b.wait()
	case errors.Is(err, io.EOF):
		b.deadline.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *patientBody) wait() {
	b.deadline.SetReadDeadline(time.Now().Add(stallTime)) // not supported in tests without a connection
}

// content describes a body of a media type; body is its type where it is JSON and
// more is known of it.
func (a *API) content(mediaType string, body reflect.Type) map[string]*huma.MediaType {
	schema := &huma.Schema{Type: huma.TypeString}
	switch {
	case body != nil:
		schema = a.huma.OpenAPI().Components.Schemas.Schema(body, true, "")
	case strings.HasSuffix(mediaType, "json"):
		schema = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	case !strings.HasPrefix(mediaType, "text/"):
		schema.Format = "binary"
	}
	return map[string]*huma.MediaType{mediaType: {Schema: schema}}
}

var pathName = regexp.MustCompile(`\{([^}.]+)(?:\.\.\.)?\}`)

func pathNames(path string) (names []string) {
	for _, found := range pathName.FindAllStringSubmatch(path, -1) {
		names = append(names, found[1])
	}
	return names
}

// opKey is where an Op waits in huma's metadata for the adapter.
const opKey = "op"

// describe returns what huma needs to know of an operation.
func (a *API) describe(op Op) huma.Operation {
	described := huma.Operation{
		OperationID:   op.ID,
		Method:        op.Method,
		Path:          op.Path,
		Summary:       op.Summary,
		Description:   op.Description,
		DefaultStatus: op.Status,
		MaxBodyBytes:  op.MaxBody + 1, // readBody has bounded it already, and huma counts one too many
		Metadata:      map[string]any{opKey: op},
		Responses: map[string]*huma.Response{"default": {
			Description: "Error",
			Content:     map[string]*huma.MediaType{problemType: {Schema: a.problem}},
		}},
	}
	if op.Tag != "" {
		described.Tags = []string{op.Tag}
	}
	if op.Public {
		described.Security = []map[string][]string{}
		return described
	}
	scopes := []string{}
	if op.Scope != "" {
		scopes = append(scopes, op.Scope)
	}
	described.Security = []map[string][]string{{"key": scopes}, {"session": scopes}}
	for _, p := range a.options.Headers {
		described.Parameters = append(described.Parameters, p.document())
	}
	return described
}

// adapter puts huma's operations into the mux, behind our own checks.
type adapter struct{ api *API }

// Handle is called by huma for each operation.
func (a adapter) Handle(described *huma.Operation, handler func(huma.Context)) {
	op := described.Metadata[opKey].(Op)
	last := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(humago.NewContext(described, r, w)) })
	checked := a.api.access(op, readBody(op, a.api.once(op, last)))
	a.api.mux.Handle(op.Method+" "+op.Path, a.api.watcher.watch(op, false, checked))
}

// ServeHTTP makes it an adapter; requests come by [API.Handler].
func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.api.mux.ServeHTTP(w, r) }
