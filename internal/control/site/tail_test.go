package site

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// Who watches sees what edges show of the site.
func TestTail(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	of := k.make("a", example)
	api := web.New(web.Options{Title: "t", Version: "1", Log: slog.New(slog.DiscardHandler), Authenticate: func(*http.Request) (guard.Principal, error) {
		return guard.Principal{Tenant: "a", Scopes: []string{guard.SitesRead}}, nil
	}})
	k.Routes(api)
	server := httptest.NewServer(api.Handler())
	defer server.Close()
	in, err := http.Get(server.URL + "/v1/sites/" + of + "/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Body.Close()
	k.bus.mu.Lock()
	show := k.bus.hear[edge.SubjectSeen]
	k.bus.mu.Unlock()
	for _, site := range []string{"sit_other", of} {
		data, err := json.Marshal(edge.Seen{Node: "nod_1", Site: site, Requests: []edge.Request{{Path: "/of/" + site}}})
		if err != nil {
			t.Fatal(err)
		}
		show("nod_1", data)
	}
	var text bytes.Buffer
	for !strings.Contains(text.String(), "/of/"+of) {
		chunk := make([]byte, 1024)
		n, err := in.Body.Read(chunk)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(chunk[:n])
	}
	if strings.Contains(text.String(), "sit_other") {
		t.Errorf("another site's are shown: %s", &text)
	}
}

// Who watches does so no longer than the key is good and the site is there.
func TestTailEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"key", "site"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newCloud(t, store.Config{})
			k.tailEvery = time.Millisecond
			of := k.make("a", example)
			var deleted atomic.Bool
			good := k.deps.Authenticate
			k.deps.Authenticate = func(r *http.Request) (guard.Principal, error) {
				if deleted.Load() {
					return guard.Principal{}, fault.New(fault.Forbidden, "no such key")
				}
				return good(r)
			}
			api := web.New(web.Options{Title: "t", Version: "1", Log: slog.New(slog.DiscardHandler), Authenticate: good})
			k.Routes(api)
			server := httptest.NewServer(api.Handler())
			defer server.Close()
			in, err := http.Get(server.URL + "/v1/sites/" + of + "/requests")
			if err != nil {
				t.Fatal(err)
			}
			defer in.Body.Close()
			lines := bufio.NewScanner(in.Body)
			for lines.Scan() && lines.Text() != ": alive" {
			}
			if err := lines.Err(); err != nil || lines.Text() != ": alive" {
				t.Fatalf("it ended too early: %v", err)
			}
			if name == "key" {
				deleted.Store(true)
			} else if status, _ := k.ask("a", guard.SitesWrite, http.MethodDelete, "/v1/sites/"+of, ""); status != http.StatusNoContent {
				t.Fatalf("the site is not deleted: %d", status)
			}
			for lines.Scan() { // to its end, or the test never ends
			}
		})
	}
}
