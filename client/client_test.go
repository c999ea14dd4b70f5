package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns a fake cloud and a client of it.
func start(t *testing.T) (*fakecloud.Cloud, *client.Client) {
	t.Helper()
	cloud := fakecloud.Start(t)
	c, err := client.New(cloud.URL, fakecloud.AdminKey, client.Options{UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return cloud, c
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "cloud.example", "ftp://cloud.example", "http://", "http://user:secret@cloud.example", "http://%zz"} {
		if _, err := client.New(bad, "", client.Options{}); err == nil {
			t.Errorf("New(%q): no error", bad)
		}
	}
	if _, err := client.New("http://cloud.example", "lyk_1\n", client.Options{}); err == nil {
		t.Error("a key with a line end: no error")
	}
	c := must[*client.Client](t)(client.New("https://cloud.example/video/", "", client.Options{}))
	tests := map[string]string{
		"/play/ast_1/master.m3u8":      "https://cloud.example/video/play/ast_1/master.m3u8",
		"https://cdn.example/play/x":   "https://cdn.example/play/x",
		"":                             "",
		"/play/~a.b/ast_1/poster.jpg?": "https://cloud.example/video/play/~a.b/ast_1/poster.jpg?",
	}
	for reference, want := range tests {
		if got := c.Resolve(reference); got != want {
			t.Errorf("Resolve(%q): got %q, want %q", reference, got, want)
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx := t.Context()
	a := must[client.Asset](t)(c.Assets.Create(ctx, client.NewAsset{Name: "talk"}))
	if a.Status != client.Created || a.Name != "talk" || a.CreatedAt.IsZero() || a.ReadyAt != nil {
		t.Errorf("created: got %+v", a)
	}
	name := "the talk"
	a = must[client.Asset](t)(c.Assets.Update(ctx, a.ID, client.AssetChange{Name: &name, Rev: a.Rev}))
	if a.Name != name {
		t.Errorf("updated: got name %q", a.Name)
	}
	if _, err := c.Assets.Update(ctx, a.ID, client.AssetChange{Name: &name, Rev: 1}); client.CodeOf(err) != client.Conflict {
		t.Errorf("update of another revision: got %v, want a conflict", err)
	}
	a = must[client.Asset](t)(c.Assets.PutSource(ctx, a.ID, strings.NewReader("bytes and more"), 5))
	if a.Status != client.Queued || a.Size != 5 {
		t.Errorf("source: got %s with %d bytes", a.Status, a.Size)
	}
	for range 2 {
		a = must[client.Asset](t)(c.Assets.Get(ctx, a.ID))
	}
	if a.Status != client.Ready || a.Duration != 12.5 || a.Playback.Policy != client.Public || len(a.Renditions) != 1 || a.Renditions[0].Height != 360 {
		t.Errorf("ready: got %+v", a)
	}
	a = must[client.Asset](t)(c.Assets.PutSubtitle(ctx, a.ID, "en", "English", strings.NewReader("WEBVTT\n")))
	if diff := cmp.Diff([]client.Subtitle{{Language: "en", Name: "English"}}, a.Subtitles); diff != "" {
		t.Errorf("subtitles (-want +got):\n%s", diff)
	}
	if a = must[client.Asset](t)(c.Assets.DeleteSubtitle(ctx, a.ID, "en")); len(a.Subtitles) != 0 {
		t.Errorf("got subtitles %v after they were deleted", a.Subtitles)
	}
	if e := must[client.Encoding](t)(c.Assets.Encoding(ctx, a.ID)); len(e.Shots) != 2 || len(e.Renditions) != 1 || len(e.Renditions[0].Bytes) != 2 {
		t.Errorf("encoding: got %+v", e)
	}
	if _, err := c.Assets.Compare(ctx, a.ID, client.CompareOptions{Every: 5}); err != nil {
		t.Error(err)
	}
	if err := c.Assets.Report(ctx, a.ID, io.Discard); client.CodeOf(err) != client.NotFound {
		t.Errorf("the report of a comparison that runs: %v", err)
	}
	a = must[client.Asset](t)(c.Assets.Get(ctx, a.ID))
	if m := a.Comparison; m == nil || m.Status != "ready" || len(m.LeftOut) != 1 || m.LeftOut[0].Rendition != "hevc-360p" {
		t.Errorf("comparison: got %+v", m)
	}
	var page strings.Builder
	if err := c.Assets.Report(ctx, a.ID, &page); err != nil || page.String() != "<!doctype html><title>A report</title>" {
		t.Errorf("report: %v %q", err, page.String())
	}
	numbers := must[client.Comparison](t)(c.Assets.Comparison(ctx, a.ID))
	if e := numbers.Encodes; len(e) != 1 || e[0].Name != "h264-360p" || e[0].Scores[0].P5 != 88.5 || *e[0].Shots[0].Score != 95.5 || e[0].Shots[1].Score != nil || numbers.Shots[1].End != 12.5 {
		t.Errorf("numbers: got %+v", numbers)
	}
	if a = must[client.Asset](t)(c.Assets.DropComparison(ctx, a.ID)); a.Comparison != nil {
		t.Errorf("dropped: got %+v", a.Comparison)
	}
	p := must[client.Playback](t)(c.Assets.SignedPlayback(ctx, a.ID, time.Hour))
	if !strings.Contains(p.HLS, "/~token/") || p.Expires == nil {
		t.Errorf("signed: got %+v", p)
	}
	if err := c.Assets.Delete(ctx, a.ID); err != nil {
		t.Error(err)
	}
	_, err := c.Assets.Get(ctx, a.ID)
	var answer *client.Error
	if !errors.As(err, &answer) || answer.Status != 404 || answer.Code != client.NotFound || !strings.Contains(answer.Detail, a.ID) {
		t.Errorf("deleted: got %#v", err)
	}
}

// A list is read to its end, page by page, and no further than is wanted.
func TestLists(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	for i := range 450 {
		must[client.Tenant](t)(c.Tenants.Create(t.Context(), string(rune('a'+i%26))))
	}
	var ids []string
	for tenant, err := range c.Tenants.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, tenant.ID)
	}
	if len(ids) != 450 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("got %d tenants, want 450, newest first", len(ids))
	}
	before := len(cloud.Calls())
	for range c.Tenants.List(t.Context()) {
		break
	}
	if got := len(cloud.Calls()) - before; got != 1 {
		t.Errorf("a list of which one is wanted made %d calls, want 1", got)
	}
	cloud.Break(fakecloud.Fault{Call: "GET /v1/tenants", Status: 403})
	n := 0
	for _, err := range c.Tenants.List(t.Context()) {
		if n++; client.CodeOf(err) != client.Forbidden {
			t.Errorf("got %v, want forbidden", err)
		}
	}
	if n != 1 {
		t.Errorf("a list that fails yielded %d times, want once", n)
	}
}

// What breaks is tried again where that does no harm, and no thing is made twice.
func TestRetries(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	ctx := t.Context()
	for _, status := range []int{0, 429, 502, 503} {
		cloud.Break(fakecloud.Fault{Call: "GET /v1/session", Status: status})
		if _, err := c.Session(ctx); err != nil {
			t.Errorf("broken by %d: %v", status, err)
		}
	}
	cloud.Break(fakecloud.Fault{Call: "POST /v1/keys", Done: true})
	key := must[client.Key](t)(c.Keys.Create(ctx, client.NewKey{Name: "ci", Scopes: []string{client.ScopeAssetsWrite}}))
	n := 0
	for _, err := range c.Keys.List(ctx) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 || key.Secret == "" {
		t.Errorf("got %d keys, want the one that was made, with a secret", n)
	}
	cloud.Break(fakecloud.Fault{Call: "DELETE /v1/keys", Done: true})
	if err := c.Keys.Delete(ctx, key.ID); err != nil {
		t.Errorf("a delete whose answer was lost: %v", err)
	}
	if err := c.Keys.Delete(ctx, key.ID); client.CodeOf(err) != client.NotFound {
		t.Errorf("a second delete: got %v, want not found", err)
	}
	asset := must[client.Asset](t)(c.Assets.Create(ctx, client.NewAsset{Name: "a"}))
	cloud.Break(fakecloud.Fault{Call: "PATCH /v1/assets", Done: true})
	before := len(cloud.Calls())
	if _, err := c.Assets.Update(ctx, asset.ID, client.AssetChange{}); err == nil || len(cloud.Calls())-before != 1 {
		t.Errorf("a change whose answer was lost: got %v after %d calls, want an error after one", err, len(cloud.Calls())-before)
	}
	for range 4 {
		cloud.Break(fakecloud.Fault{Call: "GET /v1/session", Status: 503})
	}
	if _, err := c.Session(ctx); client.CodeOf(err) != client.Unavailable {
		t.Errorf("four failures: got %v, want unavailable", err)
	}
	cloud.Break(fakecloud.Fault{Call: "GET /v1/session", Status: 500})
	if _, err := c.Session(ctx); client.CodeOf(err) != client.Internal {
		t.Errorf("a defect: got %v, want internal at once", err)
	}
}

// What answers is not always a cloud, and never to be trusted.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer func(http.ResponseWriter)
		code   client.Code
		text   string
	}{
		{"page of a proxy", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(404)
			_, _ = w.Write([]byte("<html>"))
		}, client.NotFound, "the server answered 404 Not Found"},
		{"plain text", func(w http.ResponseWriter) { http.Error(w, "too much", http.StatusRequestEntityTooLarge) }, client.Limit, "the server answered 413 Request Entity Too Large: too much"},
		{"another address", func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://other.example/")
			w.WriteHeader(301)
		}, client.Internal, "the server sends to https://other.example/; use that address"},
		{"full", func(w http.ResponseWriter) { w.WriteHeader(507) }, client.StorageFull, "the server answered 507 Insufficient Storage"},
		{"fields", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			_, _ = w.Write([]byte(`{"code":"invalid","detail":"the request is wrong","errors":[{"location":"body.name","message":"is empty"}]}`))
		}, client.Invalid, "the request is wrong\nbody.name: is empty"},
		{"no JSON", func(w http.ResponseWriter) { _, _ = w.Write([]byte("hello")) }, "", "client: the answer is not one of a Liuyun cloud: invalid character 'h' looking for beginning of value"},
		{"endless", func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`"` + strings.Repeat("a", 33<<20)))
		}, "", "client: the answer is longer than 33554432 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			defer server.Close()
			c := must[*client.Client](t)(client.New(server.URL, "lyk_1", client.Options{Tries: 1}))
			defer c.Close()
			_, err := c.Session(t.Context())
			if err == nil || err.Error() != test.text || client.CodeOf(err) != test.code {
				t.Errorf("got %v (%s), want %s (%s)", err, client.CodeOf(err), test.text, test.code)
			}
		})
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Session(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
}

func TestOtherResources(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx := t.Context()
	w := must[client.Webhook](t)(c.Webhooks.Create(ctx, client.NewWebhook{URL: "https://hook.example/"}))
	off := false
	if w = must[client.Webhook](t)(c.Webhooks.Update(ctx, w.ID, client.WebhookChange{Enabled: &off})); w.Enabled {
		t.Error("the webhook is still enabled")
	}
	d := must[client.Delivery](t)(c.Webhooks.Test(ctx, w.ID))
	if d = must[client.Delivery](t)(c.Webhooks.Resend(ctx, w.ID, d.ID)); d.Attempts != 1 || d.Event.Type != client.WebhookTest {
		t.Errorf("resent: got %+v", d)
	}
	for delivery, err := range c.Webhooks.Deliveries(ctx, w.ID) {
		if err != nil || delivery.ID != d.ID {
			t.Errorf("deliveries: got %v, %v", delivery.ID, err)
		}
	}
	for node, err := range c.Nodes.List(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if n := must[client.Node](t)(c.Nodes.Drain(ctx, node.ID)); n.State != "draining" {
			t.Errorf("drained: got %s", n.State)
		}
		if n := must[client.Node](t)(c.Nodes.Resume(ctx, node.ID)); n.State != "ready" {
			t.Errorf("resumed: got %s", n.State)
		}
		if err := c.Nodes.Delete(ctx, node.ID); err != nil {
			t.Error(err)
		}
	}
	token := must[client.JoinToken](t)(c.Nodes.CreateJoinToken(ctx, []string{"worker"}, time.Hour))
	if token.Token != "lyj_test" {
		t.Errorf("got token %q", token.Token)
	}
	day := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	u := must[client.Usage](t)(c.Usage(ctx, day, time.Time{}))
	if u.From != "2026-11-03" || u.Total.Uploads != 1 || len(u.Days) != 1 {
		t.Errorf("usage: got %+v", u)
	}
}
