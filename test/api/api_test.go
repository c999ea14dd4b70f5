// Package api holds the running server to the document of its API. It drives
// every operation with a validator that is not ours in between, tries every
// operation across tenants, and plays what tenants keep from each other. What is
// to be done with an operation is looked up by its id in the document, so that a
// new one cannot be forgotten.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// patience bounds what is waited for. It judges nothing: machines are slow.
const patience = 3 * time.Minute

// cloud is a running server and its document.
type cloud struct {
	*program.Server
	document *document
}

// start starts a server with a new data folder.
func start(t *testing.T, arguments ...string) *cloud {
	t.Helper()
	s := program.Build(t, testkit.Root(t)).Serve(t, filepath.Join(t.TempDir(), "data"), arguments...)
	return &cloud{s, readDocument(t, s.URL)}
}

// reachable are arguments with which other machines could join: the port is free
// now, and was given by the kernel.
func reachable(t *testing.T) []string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return []string{"--set", "node.listen=" + socket.Addr().String()}
}

// caller asks with one key.
type caller struct {
	cloud *cloud
	key   string // "" for nobody
}

// as returns who asks with a key.
func (c *cloud) as(key string) *caller { return &caller{c, key} }

// answer is what came back, read whole.
type answer struct {
	request *http.Request
	status  int
	header  http.Header
	body    []byte
}

// text gets a field of a JSON object, "" where it is not a text.
func (a answer) text(path ...string) string {
	var value any
	if json.Unmarshal(a.body, &value) != nil {
		return ""
	}
	for _, name := range path {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	text, _ := value.(string)
	return text
}

// ids are the ids in a list.
func (a answer) ids(t *testing.T) (ids []string) {
	t.Helper()
	var page struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(a.body, &page); err != nil {
		t.Fatalf("%s %s: %v\n%s", a.request.Method, a.request.URL, err, a.body)
	}
	for _, one := range page.Data {
		ids = append(ids, one.ID)
	}
	return ids
}

// header is one header of a request.
type header [2]string

// request makes a request. A body that is no string, bytes or reader is sent as JSON.
func (c *caller) request(t *testing.T, method, path string, body any, headers ...header) *http.Request {
	t.Helper()
	var content io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(b), "application/json"
	case []byte:
		content, kind = bytes.NewReader(b), "application/octet-stream"
	case io.Reader:
		content, kind = b, "application/octet-stream"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		content, kind = bytes.NewReader(text), "application/json"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.cloud.URL+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for _, h := range headers {
		r.Header.Set(h[0], h[1])
	}
	return r
}

// direct follows no redirect: the answer of the server itself is looked at.
func direct() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends a request and reads the answer.
func send(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := direct().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{r, response.StatusCode, response.Header, body}
}

// ask sends a request that is answered with status.
func (c *caller) ask(t *testing.T, status int, method, path string, body any, headers ...header) answer {
	t.Helper()
	a := send(t, c.request(t, method, path, body, headers...))
	if a.status != status {
		t.Errorf("%s %s: status %d, want %d\n%.500s", method, path, a.status, status, a.body)
	}
	return a
}

// first reads the stream of events until done says that it has enough.
func (c *caller) first(t *testing.T, done func(text string) bool, headers ...header) (answer, string) {
	t.Helper()
	return c.firstOf(t, "/v1/events", done, headers...)
}

// firstOf reads a stream until done says that it has enough.
func (c *caller) firstOf(t *testing.T, path string, done func(text string) bool, headers ...header) (answer, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := c.request(t, http.MethodGet, path, nil, headers...).WithContext(ctx)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text, rest string // whole events, and what has begun
	buffer := make([]byte, 4096)
	for !done(text) {
		n, err := response.Body.Read(buffer)
		rest += string(buffer[:n])
		if end := strings.LastIndex(rest, "\n\n") + 2; end > 1 {
			text, rest = text+rest[:end], rest[end:]
		}
		if err != nil {
			t.Fatalf("the stream of events ended: %v\n%s", err, text)
		}
	}
	return answer{r, response.StatusCode, response.Header, nil}, text
}

// clip is a source of two seconds.
func clip(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(testkit.Generate(t, testkit.Numbered("25", 50)))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// quick is an asset that takes little time to make.
const quick = `{"name":"clip","options":{"preset":"ultrafast","ladder":"90","mp4":true,"prefer":"cost"}}`

// until asks for an asset until it is in a state.
func (c *caller) until(t *testing.T, id, status string) answer {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		a := c.ask(t, http.StatusOK, http.MethodGet, "/v1/assets/"+id, nil)
		switch now := a.text("status"); {
		case now == status:
			return a
		case now == "failed", time.Now().After(deadline):
			t.Fatalf("asset %s is %s, want %s\n%s", id, now, status, a.body)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ready makes an asset that plays.
func (c *caller) ready(t *testing.T) answer {
	t.Helper()
	id := c.ask(t, http.StatusCreated, http.MethodPost, "/v1/assets", quick).text("id")
	c.ask(t, http.StatusOK, http.MethodPut, "/v1/assets/"+id+"/source", clip(t))
	a := c.until(t, id, "ready")
	if prefer, currency := a.text("options", "prefer"), a.text("spent", "currency"); prefer != "cost" || currency != "USD" {
		t.Errorf("made for %q, and what it took is in %q: %s", prefer, currency, a.body)
	}
	return a
}
