package edge

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	contract "liuyun/internal/contract/edge"
	"liuyun/internal/edge/cache"
	"liuyun/internal/edge/rule"
)

// A cache, which knows of no rules, keeps what they say, and how they say it.
func TestRulesAroundACache(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a line of text\n", 1000)
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"`+strconv.FormatInt(asked.Add(1), 10)+`"`)
		w.Header().Set("Cache-Control", "private")
		w.Header().Set("Content-Type", "text/plain")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	}))
	t.Cleanup(origin.Close)
	set, err := rule.Compile([]contract.Rule{
		{Path: "/kept/*", TTL: new(60), BrowserTTL: new(5), Query: "except", Parameters: []string{"utm_*"}, Compress: new(true)},
		{Path: "/kept/not/*", TTL: new(0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := cache.New(cache.Options{
		Name: "liuyun", Folder: t.TempDir(), Memory: 1 << 20, Disk: 1 << 20, Share: 100, Patience: time.Minute,
		Room: func(int64) error { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	address, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	asks := &http.Transport{DisableCompression: true}
	t.Cleanup(asks.CloseIdleConnections)
	site := &cache.Site{Name: "a", Origin: address, Transport: set.Transport(asks, rule.NewCompressor(2))}
	get := func(path string, fields ...string) (status int, header http.Header, body string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		w := httptest.NewRecorder()
		if r, answered := set.Before(w, r); answered == 0 {
			kept.Serve(w, r, site, new(cache.Outcome))
			set.After(r, w.Code, w.Header())
		}
		return w.Code, w.Header(), w.Body.String()
	}
	// The tag says which answer of the origin it is.

	for i, path := range []string{"/kept/a?x=1&utm_source=b", "/kept/a?x=1"} {
		_, header, body := get(path, "Accept-Encoding", "gzip, zstd"+strings.Repeat(", br", i))
		reader, err := zstd.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || string(got) != text {
			t.Errorf("%d: got %d bytes, %v, %v", i, len(got), err, header)
		}
		reader.Close()
		if header.Get("Cache-Control") != "max-age=5" || header["Set-Cookie"] != nil || header["Surrogate-Control"] != nil || header.Get("Etag") != `W/"1"` {
			t.Errorf("%d: got %v", i, header)
		}
	}
	if status, header, _ := get("/kept/a?x=1", "Accept-Encoding", "zstd", "If-None-Match", `W/"1"`); status != http.StatusNotModified || asked.Load() != 1 {
		t.Errorf("what is there already: got %d, %v", status, header)
	}
	// A part is of what is not compressed, and does not take the place of what is.
	if status, header, body := get("/kept/a?x=1", "Accept-Encoding", "zstd", "Range", "bytes=15-29"); status != http.StatusPartialContent || body != text[15:30] || header.Get("Etag") != `"2"` {
		t.Errorf("a part: got %d, %v, %q", status, header, body)
	}
	if _, header, _ := get("/kept/a?x=1", "Accept-Encoding", "zstd"); header.Get("Etag") != `W/"1"` || header.Get("Content-Encoding") != "zstd" {
		t.Errorf("after a part: got %v", header)
	}
	if _, header, body := get("/kept/a?x=1"); header.Get("Etag") != `"2"` || body != text || header.Get("Content-Encoding") != "" {
		t.Errorf("as it is: got %v", header)
	}
	for _, tag := range []string{`"3"`, `"4"`} {
		if _, header, _ := get("/kept/not/a"); header.Get("Etag") != tag || header.Get("Cache-Control") != "private, max-age=5" || header["Set-Cookie"] == nil {
			t.Errorf("what is not kept: got %v", header)
		}
	}
}
