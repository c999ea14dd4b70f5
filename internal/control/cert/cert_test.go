package cert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// wire is a bus in this process: what crosses it is JSON, and of an error the code and
// the message.
type wire struct {
	mu     sync.Mutex
	serves map[string]func(context.Context, []byte) (any, error)
	cut    bool
}

func (w *wire) Serve(subject string, fn func(context.Context, []byte) (any, error)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serves[subject] = fn
	return func() {}, nil
}

func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

func (w *wire) Request(ctx context.Context, subject string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := w.answer(ctx, subject, data)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

func (w *wire) answer(ctx context.Context, subject string, data []byte) ([]byte, error) {
	w.mu.Lock()
	serve, cut := w.serves[subject], w.cut
	w.mu.Unlock()
	if cut || serve == nil {
		return nil, fault.New(fault.Unavailable, "nobody answers %s", subject)
	}
	v, err := serve(ctx, data)
	if err != nil {
		return nil, fault.New(fault.CodeOf(err), "%s", fault.Message(err))
	}
	return json.Marshal(v)
}

// serve runs a service on new records until the test ends.
func serve(t *testing.T, c store.Config) (*Service, *wire) {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	w := &wire{serves: make(map[string]func(context.Context, []byte) (any, error))}
	s := New(Deps{Records: db, Messages: w, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, w
}

// onBoth runs a test on both kinds of records.
func onBoth(t *testing.T, test func(*testing.T, store.Config)) {
	t.Parallel()
	t.Run(store.SQLite, func(t *testing.T) { t.Parallel(); test(t, store.Config{}) })
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		test(t, store.Config{URL: testkit.Postgres(t).NewDatabase(t)})
	})
}

// What certmagic wants of a storage.
func TestStorage(t *testing.T) { onBoth(t, testStorage) }

func testStorage(t *testing.T, c store.Config) {
	service, w := serve(t, c)
	client := NewClient(w)
	s, ctx := guard.NewSharedStorage(client, client), t.Context()
	if _, err := s.Load(ctx, "acme/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	values := map[string][]byte{
		"acme/ca/users/Ä b@example.org/b.json": []byte("{}"), "acme/ca/users/a.json": {0, 0xff, '\n'}, "acme/ca.json": {},
		"acme/ca0": []byte("x"), "acme/CA/z": []byte("y"), "ocsp/a_%": bytes.Repeat([]byte{7}, largestValue),
	}
	for key, value := range values {
		for range 2 { // the same again
			if err := s.Store(ctx, key, value); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
		}
	}
	for key, want := range values {
		got, err := s.Load(ctx, key)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v", key, len(got), err)
		}
		info, err := s.Stat(ctx, key)
		if err != nil || !info.IsTerminal || info.Size != int64(len(want)) || time.Since(info.Modified).Abs() > time.Minute {
			t.Errorf("%s: got %+v, %v", key, info, err)
		}
	}
	for prefix, want := range map[string][]string{
		"acme/ca": {"acme/ca/users"}, "acme": {"acme/CA", "acme/ca.json", "acme/ca", "acme/ca0"}, "acme/ca/users": {"acme/ca/users/a.json", "acme/ca/users/Ä b@example.org"},
	} {
		got, err := s.List(ctx, prefix, false)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", prefix, err, diff)
		}
	}
	if info, err := s.Stat(ctx, "acme/ca"); err != nil || info.IsTerminal || !s.Exists(ctx, "acme/ca") {
		t.Errorf("a folder: %+v, %v", info, err)
	}
	for _, key := range []string{"acme/ca", "acme/ca", "ocsp/a_%"} {
		if err := s.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.List(ctx, "acme", true); err != nil || !cmp.Equal(got, []string{"acme/CA", "acme/CA/z", "acme/ca.json", "acme/ca0"}) {
		t.Errorf("after deleting: %q, %v", got, err)
	}
	if s.Exists(ctx, "acme/ca") || s.Exists(ctx, "ocsp/a_%") {
		t.Error("what was deleted is there")
	}
	testBounds(t, service, s)
}

func testBounds(t *testing.T, service *Service, s *guard.SharedStorage) {
	ctx := t.Context()
	if err := s.Store(ctx, "big", make([]byte, largestValue+1)); fault.CodeOf(err) != fault.Limit {
		t.Errorf("a large value: %v", err)
	}
	for _, key := range []string{"", "/a", "a/", "a//b", "a/../b", ".", "a\\b", "a\x00", strings.Repeat("k", longestKey+1)} {
		if err := s.Store(ctx, key, nil); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q is stored: %v", key, err)
		}
		if _, err := s.Load(ctx, key); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q is loaded: %v", key, err)
		}
		if err := s.Lock(ctx, key); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q is locked: %v", key, err)
		}
	}
	const many = perAnswer + putAtOnce
	for n := 0; n < many; {
		var change edge.CertificateChange
		for ; len(change.Put) < putAtOnce && n < many; n++ {
			change.Put = append(change.Put, edge.CertificateEntry{Key: fmt.Sprintf("many/%04d", n), Value: []byte("v")})
		}
		if _, err := service.change(ctx, change); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.List(ctx, "many", true); err != nil || len(got) != many {
		t.Errorf("%d keys of %d, %v", len(got), many, err)
	}
	service.most = many + 4 // three were there
	if err := s.Store(ctx, "one/more", nil); err != nil {
		t.Error(err)
	}
	if err := s.Store(ctx, "two/more", nil); fault.CodeOf(err) != fault.Limit || s.Exists(ctx, "two/more") {
		t.Errorf("more than the most: %v", err)
	}
}

func TestLocks(t *testing.T) { onBoth(t, testLocks) }

// With the time given, so that no test waits.
func testLocks(t *testing.T, c store.Config) {
	s, _ := serve(t, c)
	ctx, start := t.Context(), time.Now()
	get := func(holder string, after time.Duration) (token int64, err error) {
		err = s.deps.Records.Write(ctx, func(tx *store.Tx) error {
			token, err = acquire(tx, "lock", holder, start.Add(after), 10)
			return err
		})
		return token, err
	}
	write := func(token int64) error {
		_, err := s.change(ctx, edge.CertificateChange{Put: []edge.CertificateEntry{{Key: "k"}}, Under: &edge.CertificateHold{Name: "lock", Token: token}})
		return err
	}
	first, err := get("first", 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := get("first", time.Second); again != first || err != nil {
		t.Errorf("who asks again gets %d, not %d: %v", again, first, err)
	}
	if _, err := get("second", lease-time.Second); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("two hold it: %v", err)
	}
	if err := write(first); err != nil {
		t.Error(err)
	}
	second, err := get("second", lease+time.Second)
	if err != nil || second <= first {
		t.Fatalf("after the lease: %d then %d, %v", first, second, err)
	}
	hold := edge.CertificateHold{Name: "lock", Token: first}
	if err := write(first); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("who lost it writes: %v", err)
	}
	if _, err := s.renew(ctx, hold); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("who lost it renews: %v", err)
	}
	if _, err := s.unlock(ctx, hold); err != nil {
		t.Errorf("who lost it frees: %v", err)
	}
	if _, err := get("third", lease+2*time.Second); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("who lost it freed that of another: %v", err)
	}
	if _, err := s.unlock(ctx, edge.CertificateHold{Name: "lock", Token: second}); err != nil {
		t.Error(err)
	}
	third, err := get("third", lease+2*time.Second)
	if err != nil || third <= second {
		t.Errorf("after it was freed: %d then %d, %v", second, third, err)
	}
	if _, err := s.lock(ctx, edge.CertificateLock{Name: "x", Holder: "short"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a holder that may not be alone: %v", err)
	}
}

// Of many at the same time one gets a lock.
func TestLockRace(t *testing.T) { onBoth(t, testLockRace) }

func testLockRace(t *testing.T, c store.Config) {
	s, _ := serve(t, c)
	var running sync.WaitGroup
	var mu sync.Mutex
	var got int
	for n := range 8 {
		running.Go(func() {
			if _, err := s.lock(t.Context(), edge.CertificateLock{Name: "race", Holder: fmt.Sprintf("holder-number-%04d", n)}); err == nil {
				mu.Lock()
				got++
				mu.Unlock()
			} else if fault.CodeOf(err) != fault.Conflict {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if got != 1 {
		t.Errorf("%d have the lock", got)
	}
}

func TestPrune(t *testing.T) { onBoth(t, testPrune) }

func testPrune(t *testing.T, c store.Config) {
	s, w := serve(t, c)
	client := NewClient(w)
	storage, ctx := guard.NewSharedStorage(client, client), t.Context()
	keys := []string{"acme/ca/challenge_tokens/a.json", "acme/ca/users/a.json", "certificates/ca/a/a.json"}
	for _, key := range keys {
		if err := storage.Store(ctx, key, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(storage.Lock(ctx, "lock"), storage.Unlock(ctx, "lock")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  []string
		locks int
	}{
		{time.Hour, keys, 1}, {2 * keepChallenges, keys[1:], 1}, {keepLocks + time.Hour, keys[1:], 0}, {keepCertificates + time.Hour, keys[1:2], 0},
	} {
		var left []string
		var locks int
		err := s.deps.Records.Write(ctx, func(tx *store.Tx) error {
			if err := prune(tx, time.Now().Add(step.after)); err != nil {
				return err
			}
			var err error
			if left, err = below(tx, "acme", "", 10); err != nil {
				return err
			}
			more, err := below(tx, "certificates", "", 10)
			left = append(left, more...)
			if err != nil {
				return err
			}
			return tx.QueryRow("SELECT COUNT(*) FROM certificate_locks").Scan(&locks)
		})
		if diff := cmp.Diff(step.want, left); err != nil || diff != "" || locks != step.locks {
			t.Errorf("after %v: %d locks, %v %s", step.after, locks, err, diff)
		}
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a/b.json", "../a", "a/./b", "a\\b", "", "/", strings.Repeat("a/", 600)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) == nil && (!fs.ValidPath(key) || key == "." || len(key) > longestKey) {
			t.Errorf("%q is taken", key)
		}
	})
}

// Requests that are no JSON, or not theirs, are refused.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	_, w := serve(t, store.Config{})
	for _, subject := range Subjects() {
		for _, data := range []string{"", "null", "[]", "{", `{"key":1}`, `{"name":"../a","token":1}`, `{"put":[{"key":"a/../b"}]}`, `{"under":{"name":""},"remove":"a"}`} {
			if _, err := w.answer(t.Context(), subject, []byte(data)); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s %s: %v", subject, data, err)
			}
		}
	}
}
