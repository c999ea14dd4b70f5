package guard_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
)

// fakeVault is what control/cert is, in memory.
type fakeVault struct {
	mu      sync.Mutex
	values  map[string][]byte
	locks   map[string]fakeLock
	away    bool
	deaf    bool // to renewals, as of a holder that hangs
	calls   int
	changes []guard.SharedChange
}

type fakeLock struct {
	guard.SharedHold
	holder string
	until  time.Time
}

func newFakeVault() *fakeVault {
	return &fakeVault{values: make(map[string][]byte), locks: make(map[string]fakeLock)}
}

// enter counts a call, and fails while the vault is away. The caller unlocks.
func (v *fakeVault) enter() error {
	v.mu.Lock()
	v.calls++
	if v.away {
		return fault.New(fault.Unavailable, "away")
	}
	return nil
}

func (v *fakeVault) set(change func(*fakeVault)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

func (v *fakeVault) Load(_ context.Context, key string) ([]byte, time.Time, error) {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return nil, time.Time{}, err
	}
	value, ok := v.values[key]
	if !ok {
		return nil, time.Time{}, fault.New(fault.NotFound, "no %s", key)
	}
	return value, time.Now(), nil
}

func (v *fakeVault) List(_ context.Context, prefix, after string) (keys []string, more bool, err error) {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return nil, false, err
	}
	for key := range v.values {
		if strings.HasPrefix(key, prefix+"/") && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) > 2 { // pages are short here
		return keys[:2], true, nil
	}
	return keys, false, nil
}

func (v *fakeVault) Change(_ context.Context, change guard.SharedChange) error {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return err
	}
	if under := change.Under; under.Name != "" && v.locks[under.Name].Token != under.Token {
		return fault.New(fault.Conflict, "lost")
	}
	for key := range v.values {
		if key == change.Remove || change.Remove != "" && strings.HasPrefix(key, change.Remove+"/") {
			delete(v.values, key)
		}
	}
	for _, entry := range change.Put {
		v.values[entry.Key] = entry.Value
	}
	v.changes = append(v.changes, change)
	return nil
}

func (v *fakeVault) Lock(_ context.Context, name, holder string) (guard.SharedHold, error) {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return guard.SharedHold{}, err
	}
	present := v.locks[name]
	if time.Now().Before(present.until) && present.holder != holder {
		return guard.SharedHold{}, fault.New(fault.Conflict, "held")
	}
	hold := guard.SharedHold{Name: name, Token: present.Token + 1}
	v.locks[name] = fakeLock{hold, holder, time.Now().Add(time.Minute)}
	return hold, nil
}

func (v *fakeVault) Renew(_ context.Context, hold guard.SharedHold) error {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return err
	}
	return v.expire(hold, time.Minute)
}

func (v *fakeVault) Unlock(_ context.Context, hold guard.SharedHold) error {
	defer v.mu.Unlock()
	if err := v.enter(); err != nil {
		return err
	}
	_ = v.expire(hold, 0) // that it was lost is no error
	return nil
}

func (v *fakeVault) expire(hold guard.SharedHold, in time.Duration) error {
	lock := v.locks[hold.Name]
	if lock.Token != hold.Token {
		return fault.New(fault.Conflict, "lost")
	}
	if v.deaf && in > 0 {
		return fault.New(fault.Unavailable, "not heard")
	}
	lock.until = time.Now().Add(in)
	v.locks[hold.Name] = lock
	return nil
}

const (
	lockOfA = "issue_cert_a.example.org"
	folderA = "certificates/ca/a.example.org/"
)

// One holds a lock for as long as it likes; the next gets it when it is freed.
func TestSharedLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := newFakeVault()
		first, second := guard.NewSharedStorage(vault, vault), guard.NewSharedStorage(vault, vault)
		if err := first.Lock(t.Context(), lockOfA); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- second.Lock(t.Context(), lockOfA) }()
		time.Sleep(10 * time.Minute)
		select {
		case err := <-got:
			t.Fatalf("two have the lock: %v", err)
		default:
		}
		if err := second.Lock(canceled(t), lockOfA); !errors.Is(err, context.Canceled) {
			t.Errorf("one who has gone waits: %v", err)
		}
		if err := first.Unlock(canceled(t), lockOfA); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		if err := second.Unlock(t.Context(), lockOfA); err != nil {
			t.Error(err)
		}
		if err := second.Unlock(t.Context(), lockOfA); err != nil {
			t.Errorf("what is not held: %v", err)
		}
	})
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// One that is not heard of any more loses the lock, and what it then writes, also that
// which it had begun, is refused.
func TestSharedLockLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := newFakeVault()
		first, second := guard.NewSharedStorage(vault, vault), guard.NewSharedStorage(vault, vault)
		if err := first.Lock(t.Context(), lockOfA); err != nil {
			t.Fatal(err)
		}
		store(t, first, folderA+"a.example.org.key", "key of first")
		store(t, first, folderA+"a.example.org.crt", "chain of first")
		vault.set(func(v *fakeVault) { v.deaf = true })
		start := time.Now()
		if err := second.Lock(t.Context(), lockOfA); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 59*time.Second || waited > 80*time.Second {
			t.Errorf("the lock of one that hangs is free after %v", waited)
		}
		if err := first.Store(t.Context(), folderA+"a.example.org.json", []byte("meta of first")); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("one that lost the lock writes: %v", err)
		}
		// certmagic takes back what it could not store whole.
		for _, end := range []string{"crt", "key"} {
			if err := first.Delete(t.Context(), folderA+"a.example.org."+end); err != nil {
				t.Error(err)
			}
		}
		for _, end := range []string{"key", "crt", "json"} {
			store(t, second, folderA+"a.example.org."+end, end+" of second")
		}
		if err := first.Delete(t.Context(), folderA+"a.example.org.json"); fault.CodeOf(err) != fault.Conflict {
			t.Errorf("one that lost the lock deletes: %v", err)
		}
		if err := first.Unlock(t.Context(), lockOfA); err != nil {
			t.Error(err)
		}
		vault.set(func(v *fakeVault) { v.deaf = false })
		third := guard.NewSharedStorage(vault, vault)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := third.Lock(ctx, lockOfA); err == nil {
			t.Error("who lost a lock frees that of another")
		}
		if err := second.Unlock(t.Context(), lockOfA); err != nil {
			t.Error(err)
		}
		want := map[string][]byte{
			folderA + "a.example.org.key":  []byte("key of second"),
			folderA + "a.example.org.crt":  []byte("crt of second"),
			folderA + "a.example.org.json": []byte("json of second"),
		}
		if diff := cmp.Diff(want, vault.values); diff != "" {
			t.Error(diff)
		}
	})
}

func store(t *testing.T, s *guard.SharedStorage, key, value string) {
	t.Helper()
	if err := s.Store(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// A certificate appears with its key, or not at all.
func TestSharedPairAtOnce(t *testing.T) {
	t.Parallel()
	vault := newFakeVault()
	s := guard.NewSharedStorage(vault, vault)
	if err := s.Lock(t.Context(), lockOfA); err != nil {
		t.Fatal(err)
	}
	store(t, s, folderA+"a.example.org.key", "k")
	store(t, s, folderA+"a.example.org.crt", "c")
	if len(vault.values) != 0 {
		t.Errorf("half a certificate is kept: %v", vault.values)
	}
	store(t, s, folderA+"a.example.org.json", "j")
	if len(vault.changes) != 1 || len(vault.values) != 3 {
		t.Errorf("%d changes, %d values", len(vault.changes), len(vault.values))
	}
	store(t, s, folderA+"a.example.org.key", "a new one")
	if err := s.Unlock(t.Context(), lockOfA); err != nil {
		t.Fatal(err)
	}
	store(t, s, folderA+"a.example.org.json", "later")
	if got := string(vault.values[folderA+"a.example.org.key"]); got != "k" {
		t.Errorf("a key that never got its certificate came later: %q", got)
	}
	if err := s.Delete(t.Context(), folderA+"a.example.org.key"); err != nil || len(vault.values) != 0 {
		t.Errorf("after its key is gone the certificate is there: %v, %v", vault.values, err)
	}
}

// Without control nodes nothing waits long, and what was issued is kept when they are
// there again.
func TestSharedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := newFakeVault()
		s := guard.NewSharedStorage(vault, vault)
		store(t, s, "acme/a", "1")
		vault.set(func(v *fakeVault) { v.away, v.calls = true, 0 })
		for range 100 {
			if _, err := s.Load(t.Context(), "acme/a"); fault.CodeOf(err) != fault.Unavailable {
				t.Fatalf("got %v", err)
			}
		}
		if vault.calls != 1 || !s.Away() {
			t.Errorf("they were asked %d times", vault.calls)
		}
		if err := s.Lock(t.Context(), lockOfA); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("a lock: %v", err)
		}
		stored := make(chan error)
		go func() { stored <- s.Store(t.Context(), "acme/a", []byte("2")) }()
		time.Sleep(30 * time.Second)
		vault.set(func(v *fakeVault) { v.away = false })
		if err := <-stored; err != nil {
			t.Errorf("the change is lost: %v", err)
		}
		if value, err := s.Load(t.Context(), "acme/a"); string(value) != "2" || err != nil {
			t.Errorf("got %q, %v", value, err)
		}
		vault.set(func(v *fakeVault) { v.away = true })
		start := time.Now()
		if err := s.Store(t.Context(), "acme/a", nil); fault.CodeOf(err) != fault.Unavailable || time.Since(start) > 3*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSharedList(t *testing.T) {
	t.Parallel()
	vault := newFakeVault()
	s := guard.NewSharedStorage(vault, vault)
	for _, key := range []string{"a/b/c", "a/b/d", "a/e", "a/f/g/h", "ab"} {
		store(t, s, key, "x")
	}
	for _, c := range []struct {
		recursive bool
		want      []string
	}{
		{false, []string{"a/b", "a/e", "a/f"}},
		{true, []string{"a/b", "a/b/c", "a/b/d", "a/e", "a/f", "a/f/g", "a/f/g/h"}},
	} {
		got, err := s.List(t.Context(), "a", c.recursive)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("recursive %v: %s", c.recursive, diff)
		}
	}
	if _, err := s.List(t.Context(), "z", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}
