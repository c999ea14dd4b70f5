package meter

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
	"liuyun/internal/testkit"
)

func open(t *testing.T, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	return db
}

func newService(t *testing.T, c store.Config) *Service {
	t.Helper()
	s := New(Deps{DB: open(t, c), Log: slog.New(slog.DiscardHandler)})
	s.now = func() time.Time { return time.Date(2026, 11, 24, 23, 0, 0, 0, time.FixedZone("", -3600)) } // the 25th in UTC
	return s
}

// answer asks for a tenant's usage; the key that asks is named by its scope.
func answer(t *testing.T, s *Service, tenant, scope, query string) (int, map[string]any) {
	t.Helper()
	api := web.New(web.Options{Title: "t", Version: "1", Log: slog.New(slog.DiscardHandler), Authenticate: func(*http.Request) (guard.Principal, error) {
		if scope == "" {
			return guard.Principal{}, fault.New(fault.Forbidden, "nobody")
		}
		return guard.Principal{Tenant: tenant, Scopes: []string{scope}}, nil
	}})
	s.Routes(api)
	w := httptest.NewRecorder()
	api.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/usage"+query, nil))
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, body
}

func TestUsage(t *testing.T) {
	t.Parallel()
	t.Run(store.SQLite, func(t *testing.T) { t.Parallel(); testUsage(t, store.Config{}) })
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		testUsage(t, store.Config{URL: testkit.Postgres(t).NewDatabase(t)})
	})
}

func testUsage(t *testing.T, c store.Config) {
	s := newService(t, c)
	stored := int64(500)
	s.deps.Stored = func(*store.Tx, string) (map[string]int64, error) { return map[string]int64{"a": stored}, nil }
	add := func(tenant string, u Usage) {
		t.Helper()
		if err := s.deps.DB.Write(t.Context(), func(tx *store.Tx) error { return s.Add(tx, tenant, u) }); err != nil {
			t.Fatal(err)
		}
	}
	add("a", Usage{EncodedSeconds: 90, CPUSeconds: 7.5, Uploads: 1})
	add("a", Usage{EncodedSeconds: 30, CPUSeconds: 0.5, Uploads: 1})
	add("b", Usage{EncodedSeconds: 6000})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				s.ServedBytes("a", 3)
			}
		})
	}
	group.Wait()
	for _, n := range []int64{500, 900, 100} {
		stored = n
		if err := s.sample(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second one has nothing to add
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.now = func() time.Time { return time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC) }
	stored = 100
	if err := s.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	add("a", Usage{EncodedSeconds: 60})
	stored = 120 // not written down yet

	status, got := answer(t, s, "a", guard.UsageRead, "")
	first := map[string]any{"day": "2026-11-25", "minutes_encoded": 2.0, "cpu_seconds": 8.0, "bytes_served": 24000.0, "bytes_stored": 900.0, "uploads": 2.0}
	second := map[string]any{"day": "2026-11-26", "minutes_encoded": 1.0, "cpu_seconds": 0.0, "bytes_served": 0.0, "bytes_stored": 120.0, "uploads": 0.0}
	want := map[string]any{
		"from": "2026-10-28", "to": "2026-11-26", "days": []any{first, second},
		"total": map[string]any{"minutes_encoded": 3.0, "cpu_seconds": 8.0, "bytes_served": 24000.0, "bytes_stored": 120.0, "uploads": 2.0},
	}
	if diff := cmp.Diff(want, got); diff != "" || status != 200 {
		t.Errorf("status %d (-want +got)\n%s", status, diff)
	}
	if _, got := answer(t, s, "a", guard.UsageRead, "?from=2026-11-25&to=2026-11-25"); len(got["days"].([]any)) != 1 {
		t.Errorf("one day: got %v", got)
	}
	if _, got := answer(t, s, "c", guard.UsageRead, ""); len(got["days"].([]any)) != 0 {
		t.Errorf("another tenant: got %v", got)
	}
	for query, want := range map[string]int{"?from=2026-12-01": 400, "?from=2020-01-01": 400} {
		if status, got := answer(t, s, "a", guard.UsageRead, query); status != want {
			t.Errorf("%s: got %d %v, want %d", query, status, got, want)
		}
	}
	if status, _ := answer(t, s, "a", guard.UsageRead, "?from=x"); status != 400 && status != 422 {
		t.Errorf("no day: got %d", status)
	}
	if status, _ := answer(t, s, "a", guard.AssetsRead, ""); status != 403 {
		t.Errorf("another scope: got %d, want 403", status)
	}
	if status, _ := answer(t, s, "a", "", ""); status != 401 {
		t.Errorf("nobody: got %d, want 401", status)
	}
}

func TestServedBytesAllocatesNothing(t *testing.T) {
	s := newService(t, store.Config{})
	s.ServedBytes("a", 1)
	if n := testing.AllocsPerRun(1000, func() { s.ServedBytes("a", 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What cannot be written is not lost.
func TestFlushFails(t *testing.T) {
	t.Parallel()
	s := newService(t, store.Config{})
	s.ServedBytes("a", 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.flush(ctx); err == nil {
		t.Fatal("no error")
	}
	s.ServedBytes("a", 6)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, got := answer(t, s, "a", guard.UsageRead, ""); got["total"].(map[string]any)["bytes_served"] != 11.0 {
		t.Errorf("got %v", got)
	}
}

// Run writes down every ten seconds, and at the end.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, store.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx, func() {}) }()
		served := func() int64 {
			n := int64(0)
			err := s.deps.DB.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow("SELECT coalesce(sum(bytes_served), 0) FROM used").Scan(&n)
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		s.ServedBytes("a", 5)
		time.Sleep(flushEvery + time.Second)
		synctest.Wait()
		if got := served(); got != 5 {
			t.Errorf("after ten seconds %d bytes, want 5", got)
		}
		s.ServedBytes("a", 7)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := served(); got != 12 {
			t.Errorf("at the end %d bytes, want 12", got)
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	s := newService(t, store.Config{})
	err := s.deps.DB.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(s.Add(tx, "a", Usage{Uploads: 1}), s.Add(tx, "b", Usage{Uploads: 2}), Forget(tx, "a"))
	})
	if err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]int{"a": 0, "b": 1} {
		if _, got := answer(t, s, tenant, guard.UsageRead, ""); len(got["days"].([]any)) != want {
			t.Errorf("%s: %v, want %d days", tenant, got, want)
		}
	}
}

// Summing what is stored holds up no writer: it takes seconds where there is much.
func TestSampleSumsInARead(t *testing.T) {
	t.Parallel()
	s := newService(t, store.DefaultConfig())
	s.deps.Stored = func(*store.Tx, string) (map[string]int64, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return nil, s.deps.DB.Write(ctx, func(*store.Tx) error { return nil })
	}
	if err := s.sample(t.Context()); err != nil {
		t.Errorf("nobody may write meanwhile: %v", err)
	}
}
