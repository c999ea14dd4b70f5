package guard

import (
	"context"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"liuyun/internal/base/fault"
)

// SharedEntry is a value under a key.
type SharedEntry struct {
	Key   string
	Value []byte
}

// SharedHold is a lock that somebody has got. The token grows with each who gets it. The
// zero value is no lock.
type SharedHold struct {
	Name  string
	Token int64
}

// SharedChange is what is changed at once: all of Put, and Remove with what is below it.
// When another has got the lock Under since, it is refused.
type SharedChange struct {
	Put    []SharedEntry
	Remove string
	Under  SharedHold
}

// vault and locks are where a SharedStorage keeps its things; control/cert has both. A
// vault that cannot be reached is fault.Unavailable.
type vault interface {
	Load(ctx context.Context, key string) (value []byte, modified time.Time, err error)
	List(ctx context.Context, prefix, after string) (keys []string, more bool, err error)
	Change(ctx context.Context, change SharedChange) error
}

type locks interface {
	Lock(ctx context.Context, name, holder string) (SharedHold, error)
	Renew(ctx context.Context, hold SharedHold) error
	Unlock(ctx context.Context, hold SharedHold) error
}

// Limits of a SharedStorage.
const (
	callTimeout  = 5 * time.Second
	awayFor      = 10 * time.Second // that the vault is not asked again when it did not answer
	insistFor    = 2 * time.Minute  // on a change, when the vault does not answer
	insistEvery  = 2 * time.Second
	callsAtOnce  = 16
	mostListed   = 10_000
	renewEvery   = 20 * time.Second // a third of a lease
	lockPollMax  = 15 * time.Second
	lockPollMin  = time.Second
	certificates = "certificates/"
	issueLock    = "issue_cert_"
)

// SharedStorage is where edges keep certificates in common: the storage that certmagic
// wants, at the control nodes. What is read is what is there now, never a copy: it
// decides whether an authority is asked. Where the control nodes are away all calls
// are fault.Unavailable, soon.
//
// The key, the certificate and what is said of it appear at once, and only while
// the lock of the name is held: of two that believe they hold it, the elder one is
// refused. It may be used by several goroutines.
type SharedStorage struct {
	vault vault
	locks locks
	slots chan struct{}

	mu     sync.Mutex
	away   time.Time // until when the vault is not asked
	held   map[string][]*heldLock
	staged map[string]map[string][]byte // values by key, by folder
}

// NewSharedStorage returns a storage in vault.
func NewSharedStorage(v vault, l locks) *SharedStorage {
	return &SharedStorage{
		vault: v, locks: l, slots: make(chan struct{}, callsAtOnce),
		held: make(map[string][]*heldLock), staged: make(map[string]map[string][]byte),
	}
}

// Away reports whether the control nodes did not answer just now.
func (s *SharedStorage) Away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.away)
}

// call runs one request, unless the vault did not answer a moment ago: a hundred
// certificates shall not wait a hundred times.
func (s *SharedStorage) call(ctx context.Context, fn func(context.Context) error) error {
	if s.Away() {
		return fault.New(fault.Unavailable, "the control nodes do not answer")
	}
	return s.ask(ctx, fn)
}

func (s *SharedStorage) ask(ctx context.Context, fn func(context.Context) error) error {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := fn(limited)
	if ctx.Err() != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = time.Time{}
	if fault.CodeOf(err) == fault.Unavailable {
		s.away = time.Now().Add(awayFor)
	}
	return err
}

// insist runs a change until it was answered: a certificate that was issued and is not
// kept costs the authority's patience. A change may be made twice.
func (s *SharedStorage) insist(ctx context.Context, change SharedChange) error {
	for end := time.Now().Add(insistFor); ; {
		err := s.ask(ctx, func(ctx context.Context) error { return s.vault.Change(ctx, change) })
		if fault.CodeOf(err) != fault.Unavailable || time.Now().After(end) || pause(ctx, insistEvery) != nil {
			return err
		}
	}
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// absent turns what is not there into what certmagic expects.
func absent(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return fs.ErrNotExist
	}
	return err
}

// Load returns what is under a key, or fs.ErrNotExist.
func (s *SharedStorage) Load(ctx context.Context, key string) (value []byte, err error) {
	err = s.call(ctx, func(ctx context.Context) error {
		value, _, err = s.vault.Load(ctx, key)
		return err
	})
	return value, absent(err)
}

// Store puts a value under a key. Of a certificate the key and the chain wait for what
// is said of it, which certmagic stores last; then all three are kept at once.
func (s *SharedStorage) Store(ctx context.Context, key string, value []byte) error {
	folder := path.Dir(key)
	waits, last := partOfPair(key)
	if waits {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.staged[folder] == nil {
			s.staged[folder] = make(map[string][]byte)
		}
		s.staged[folder][key] = value
		return nil
	}
	change := SharedChange{Put: []SharedEntry{{key, value}}, Under: s.fence(key)}
	if last {
		s.mu.Lock()
		for other, value := range s.staged[folder] {
			change.Put = append(change.Put, SharedEntry{other, value})
		}
		delete(s.staged, folder)
		s.mu.Unlock()
	}
	return s.insist(ctx, change)
}

// partOfPair reports whether a key is of a part of a certificate that waits, and whether
// it is of the last part.
func partOfPair(key string) (waits, last bool) {
	if !strings.HasPrefix(key, certificates) {
		return false, false
	}
	ext := path.Ext(key)
	return ext == ".key" || ext == ".crt", ext == ".json"
}

// Delete removes a key and what is below it. A part of a certificate that still waits is
// all that is removed: certmagic takes back what it could not store whole.
func (s *SharedStorage) Delete(ctx context.Context, key string) error {
	folder := path.Dir(key)
	s.mu.Lock()
	_, waits := s.staged[folder][key]
	delete(s.staged[folder], key)
	s.mu.Unlock()
	if waits {
		return nil
	}
	if part, _ := partOfPair(key); part {
		return s.deletePart(ctx, key)
	}
	return s.insist(ctx, SharedChange{Remove: key, Under: s.fence(key)})
}

// deletePart removes a part of a certificate only with the others: half a certificate
// is never kept, and the old one stays when a new one could not be stored.
func (s *SharedStorage) deletePart(ctx context.Context, key string) error {
	if len(s.heldFor(key)) > 0 {
		return nil
	}
	return s.insist(ctx, SharedChange{Remove: path.Dir(key), Under: SharedHold{}})
}

// Exists reports whether there is something under a key or below it.
func (s *SharedStorage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// Stat says what is under a key, or fs.ErrNotExist.
func (s *SharedStorage) Stat(ctx context.Context, key string) (info certmagic.KeyInfo, err error) {
	var keys []string
	err = s.call(ctx, func(ctx context.Context) error {
		value, modified, err := s.vault.Load(ctx, key)
		info = certmagic.KeyInfo{Key: key, Modified: modified, Size: int64(len(value)), IsTerminal: true}
		if fault.CodeOf(err) != fault.NotFound {
			return err
		}
		info = certmagic.KeyInfo{Key: key}
		keys, _, err = s.vault.List(ctx, key, "")
		if err == nil && len(keys) == 0 {
			return fs.ErrNotExist
		}
		return err
	})
	return info, absent(err)
}

// List returns the keys below prefix; unless it is recursive, only the first part of
// each after it. More than 10,000 are fault.Limit, none are fs.ErrNotExist.
func (s *SharedStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	var all []string
	for more, after := true, ""; more; {
		var keys []string
		err := s.call(ctx, func(ctx context.Context) (err error) {
			keys, more, err = s.vault.List(ctx, prefix, after)
			return err
		})
		if err != nil {
			return nil, absent(err)
		}
		if all = append(all, keys...); len(all) > mostListed {
			return nil, fault.New(fault.Limit, "more than %d keys are below %s", mostListed, prefix)
		}
		if len(keys) == 0 {
			break
		}
		after = keys[len(keys)-1]
	}
	if len(all) == 0 {
		return nil, fs.ErrNotExist
	}
	if recursive {
		return withFolders(prefix, all), nil
	}
	return children(prefix, all), nil
}

// children returns what is right below prefix, of the sorted keys below it.
func children(prefix string, keys []string) []string {
	var all []string
	for _, key := range keys {
		name, _, _ := strings.Cut(key[len(prefix)+1:], "/")
		if child := prefix + "/" + name; len(all) == 0 || all[len(all)-1] != child {
			all = append(all, child)
		}
	}
	return all
}

// withFolders adds the folders that the sorted keys lie in.
func withFolders(prefix string, keys []string) []string {
	var all []string
	seen := make(map[string]bool)
	for _, key := range keys {
		for at := len(prefix) + 1; ; {
			slash := strings.IndexByte(key[at:], '/')
			if slash < 0 {
				break
			}
			at += slash + 1
			if folder := key[:at-1]; !seen[folder] {
				seen[folder] = true
				all = append(all, folder)
			}
		}
		all = append(all, key)
	}
	return all
}
