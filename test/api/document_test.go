package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"go.yaml.in/yaml/v4"

	"liuyun/internal/testkit"
)

// operation is one method of one path of the document.
type operation struct {
	ID     string
	Method string
	Path   string // with {names}
	Public bool
	Scope  string // "" for every key
}

// document is the API as it describes itself.
type document struct {
	text       []byte
	operations []operation
	check      validator.Validator
}

// readDocument reads the document of a running server.
func readDocument(t *testing.T, url string) *document {
	t.Helper()
	response, err := http.Get(url + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	d := &document{}
	if d.text, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	var paths struct {
		Paths map[string]map[string]struct {
			OperationID string                 `json:"operationId"`
			Security    *[]map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(d.text, &paths); err != nil {
		t.Fatal(err)
	}
	for path, methods := range paths.Paths {
		for method, described := range methods {
			op := operation{ID: described.OperationID, Method: strings.ToUpper(method), Path: path}
			switch {
			case described.Security == nil:
				t.Fatalf("%s does not say who may call it", op.ID)
			case len(*described.Security) == 0:
				op.Public = true
			default:
				op.Scope = strings.Join((*described.Security)[0]["key"], " ")
			}
			d.operations = append(d.operations, op)
		}
	}
	slices.SortFunc(d.operations, func(a, b operation) int { return strings.Compare(a.ID, b.ID) })
	parsed, err := libopenapi.NewDocument(d.text)
	if err != nil {
		t.Fatal(err)
	}
	check, problems := validator.NewValidator(parsed, config.WithFormatAssertions())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d.check = check
	return d
}

// operationOf finds what a request asks for.
func (d *document) operationOf(method, path string) (operation, bool) {
	for _, exact := range []bool{true, false} { // a path without names goes before one with them
		for _, op := range d.operations {
			if op.Method == method && op.matches(path) && (!exact || op.Path == path) {
				return op, true
			}
		}
	}
	return operation{}, false
}

func (o operation) matches(path string) bool {
	names, parts := strings.Split(o.Path, "/"), strings.Split(path, "/")
	return slices.EqualFunc(names, parts, func(name, part string) bool { return name == part || strings.HasPrefix(name, "{") && part != "" })
}

// holds fails the test when an exchange is not as the document says. A request
// that is refused may be wrong itself.
func (d *document) holds(t *testing.T, a answer, body []byte) {
	t.Helper()
	if a.status < 300 {
		request := a.request.Clone(t.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
		if ok, problems := d.check.ValidateHttpRequestSync(request); !ok {
			t.Errorf("%s %s: the request is not as documented:\n%s", request.Method, request.URL, words(problems))
		}
	}
	response := &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: a.request}
	if ok, problems := d.check.ValidateHttpResponse(a.request, response); !ok {
		t.Errorf("%s %s: the answer %d is not as documented:\n%s%.500s", a.request.Method, a.request.URL, a.status, words(problems), a.body)
	}
}

func words(problems []*errors.ValidationError) string {
	var text strings.Builder
	for _, p := range problems {
		text.WriteString("  " + p.Message + ": " + p.Reason + "\n")
		for _, s := range p.SchemaValidationErrors {
			text.WriteString("    " + s.Error() + "\n")
		}
	}
	return text.String()
}

// The document that is checked in is the one of the program, whatever its version,
// and a document of OpenAPI.
func TestDocument(t *testing.T) {
	d := start(t).document
	if ok, problems := d.check.ValidateDocument(); !ok {
		t.Errorf("the document is no OpenAPI:\n%s", words(problems))
	}
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kept, served map[string]any
	if err := yaml.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(d.text, &served); err != nil { // JSON is YAML, and numbers are then of the same type
		t.Fatal(err)
	}
	for _, one := range []map[string]any{kept, served} {
		delete(one["info"].(map[string]any), "version")
	}
	if diff := cmp.Diff(kept, served); diff != "" {
		t.Errorf("api/openapi.yaml is not the program's document (-file +program):\n%s", diff)
	}
}
