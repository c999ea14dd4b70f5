// Package fakecloud answers like a Liuyun cloud, from memory, for tests of
// clients. It is written from the description of the API and shares no types with
// the server or the client, so that a slip in one shows. It encodes nothing: an
// asset whose source is complete is queued, processing and ready as it is asked
// for.
package fakecloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// AdminKey is the only key that the cloud knows at first.
const AdminKey = "lyk_0000000000000000000000000000test"

// Object is a JSON object.
type Object = map[string]any

// Cloud is a running fake.
type Cloud struct {
	URL string

	mu          sync.Mutex
	next        int
	collections map[string][]Object // by name, oldest first
	uploads     map[string]*upload  // by asset
	idempotent  map[string]Object   // answers of POST, by token
	events      []told
	requests    []Object      // that viewers made
	changed     chan struct{} // closed when there is an event
	faults      []Fault
	calls       []string
	server      *httptest.Server
}

// Drop breaks every connection.
func (c *Cloud) Drop() { c.server.CloseClientConnections() }

// Fault is how a call goes wrong, once.
type Fault struct {
	Call string // such as "GET /v1/assets", the beginning of method and path
	// Status is answered, without a body; 0 breaks the connection.
	Status int
	// After is how many bytes of the body are taken before that; then the call
	// counts as begun.
	After int64
	// Done breaks the connection after the call was carried out.
	Done bool
}

// Start returns a fake that runs until the test ends.
func Start(t testing.TB) *Cloud {
	t.Helper()
	c := Serve()
	t.Cleanup(c.Close)
	return c
}

// Serve returns a fake that runs until it is closed.
func Serve() *Cloud {
	c := newCloud()
	c.server = httptest.NewServer(c)
	c.URL = c.server.URL
	return c
}

// Close ends the fake.
func (c *Cloud) Close() {
	c.Drop()
	c.server.Close()
}

func newCloud() *Cloud {
	c := &Cloud{
		collections: make(map[string][]Object),
		uploads:     make(map[string]*upload),
		idempotent:  make(map[string]Object),
		changed:     make(chan struct{}),
	}
	c.add("nodes", Object{"id": "nod_00000000000000000000000001", "name": "alpha", "roles": []string{"control", "worker"}, "state": "ready",
		"reason": "", "version": "v1", "class": "amd64", "address": "127.0.0.1:8443", "cores": 2, "load": 0.5, "memory": 8 << 30,
		"memory_used": 2 << 30, "disk_free": 40 << 30, "disk_size": 100 << 30, "running": 1, "joined_at": clock, "seen_at": clock,
		"currency": "EUR", "worker": Object{"architecture": "amd64", "cpu": "AMD EPYC 7763", "cores": 2, "speed": 24.5, "watts": 3.92, "watts_from": "model",
			"price_per_hour": 0.068, "carbon_intensity": nil,
			"hardware": []Object{{"name": "h264_nvenc", "works": false, "why": "there is no device /dev/nvidia* or /dev/dxg"}}}})
	c.addEdges()
	return c
}

// clock is the only time here.
const clock = "2026-11-24T12:00:00Z"

// Break makes a later call go wrong.
func (c *Cloud) Break(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, f)
}

// Calls returns the methods and paths that were asked for, in order.
func (c *Cloud) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// Source returns the bytes that were uploaded for an asset.
func (c *Cloud) Source(asset string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.uploads[asset]; u != nil {
		return slices.Clone(u.bytes)
	}
	return nil
}

// Add puts a resource into a collection, such as "assets".
func (c *Cloud) Add(collection string, o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(collection, o)
}

func (c *Cloud) add(collection string, o Object) {
	c.collections[collection] = append(c.collections[collection], o)
}

// newID makes an id; they sort by the order of making.
func (c *Cloud) newID(prefix string) string {
	c.next++
	return fmt.Sprintf("%s_%026d", prefix, c.next)
}

// ServeHTTP answers a call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + r.URL.Path
	c.mu.Lock()
	c.calls = append(c.calls, call)
	var fault *Fault
	for i, f := range c.faults {
		if strings.HasPrefix(call, f.Call) {
			fault = &f
			c.faults = slices.Delete(c.faults, i, i+1)
			break
		}
	}
	c.mu.Unlock()
	switch {
	case fault == nil:
		c.route(w, r)
	case fault.Done:
		c.route(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case fault.After > 0:
		r.Body = &broken{r.Body, fault.After}
		c.route(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case fault.Status == 0:
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(fault.Status)
	}
}

// route finds who answers.
func (c *Cloud) route(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/reports/token/") { // needs no key
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>A report</title>")
		return
	}
	if !c.knows(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		problem(w, 401, "forbidden", "no key, or one that is not known; sign in")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch parts[0] {
	case "uploads":
		c.serveUpload(w, r, strings.Join(parts[1:], ""))
	case "events":
		c.serveEvents(w, r)
	case "sites":
		if len(parts) == 3 && parts[2] == "requests" {
			c.serveRequests(w, r, parts[1])
			return
		}
		fallthrough
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.serveResource(w, r, parts)
	}
}

func (c *Cloud) knows(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return key == AdminKey || slices.ContainsFunc(c.collections["keys"], func(k Object) bool { return k["secret"] == key })
}

// serveResource answers what is plain JSON.
func (c *Cloud) serveResource(w http.ResponseWriter, r *http.Request, parts []string) {
	token := r.Header.Get("Idempotency-Key")
	if answer, found := c.idempotent[token]; found && token != "" {
		write(w, 201, answer)
		return
	}
	in := make(Object)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			problem(w, 400, "invalid", "the body is no JSON object")
			return
		}
	}
	status, answer := c.answer(r, parts, in)
	switch {
	case status >= 400:
		problem(w, status, fmt.Sprint(answer["code"]), fmt.Sprint(answer["detail"]))
	case status == 204:
		w.WriteHeader(204)
	default:
		if token != "" {
			c.idempotent[token] = answer
		}
		if rev, ok := answer["rev"]; ok {
			w.Header().Set("ETag", fmt.Sprintf(`"%v"`, rev))
		}
		write(w, status, answer)
	}
}

func fail(status int, code, detail string) (int, Object) {
	return status, Object{"code": code, "detail": detail}
}

// page answers a list.
func (c *Cloud) page(r *http.Request, collection string, keep func(Object) bool) (int, Object) {
	limit := 50
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil {
		limit = min(n, 200)
	}
	after, data, next := r.FormValue("after"), []Object{}, ""
	for _, o := range slices.Backward(c.collections[collection]) {
		if !keep(o) || (after != "" && fmt.Sprint(o["id"]) >= after) {
			continue
		}
		if len(data) == limit {
			next = fmt.Sprint(data[limit-1]["id"])
			break
		}
		data = append(data, without(o, "secret"))
	}
	return 200, Object{"data": data, "next": next}
}

func (c *Cloud) find(collection, id string) Object {
	for _, o := range c.collections[collection] {
		if o["id"] == id {
			return o
		}
	}
	return nil
}

func (c *Cloud) remove(collection, id string) {
	c.collections[collection] = slices.DeleteFunc(c.collections[collection], func(o Object) bool { return o["id"] == id })
}

func without(o Object, name string) Object {
	rest := make(Object, len(o))
	for key, value := range o {
		if key != name {
			rest[key] = value
		}
	}
	return rest
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Object{"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail})
}
