package guard

import (
	"context"
	"crypto/rand"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"

	"liuyun/internal/base/fault"
)

// heldLock is a lock that this process got. It is renewed until it is freed or lost.
type heldLock struct {
	hold   SharedHold
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// Lock gets a lock, and waits while another has it. Its holder renews it; without that
// it is free after a minute. It is fault.Unavailable where the control nodes are away.
func (s *SharedStorage) Lock(ctx context.Context, name string) error {
	holder := rand.Text()
	for wait := lockPollMin; ; wait = min(wait*2, lockPollMax) {
		var hold SharedHold
		err := s.call(ctx, func(ctx context.Context) (err error) {
			hold, err = s.locks.Lock(ctx, name, holder)
			return err
		})
		if err == nil {
			s.keep(ctx, hold)
			return nil
		}
		if fault.CodeOf(err) != fault.Conflict {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// keep renews a lock from now on. Its end is Unlock, also when ctx has ended before.
func (s *SharedStorage) keep(ctx context.Context, hold SharedHold) {
	renewing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &heldLock{hold: hold, cancel: cancel}
	h.ended.Go(func() {
		for pause(renewing, renewEvery) == nil {
			limited, done := context.WithTimeout(renewing, callTimeout)
			err := s.locks.Renew(limited, hold)
			done()
			if fault.CodeOf(err) == fault.Conflict {
				return // lost: what is written under it will be refused
			}
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[hold.Name] = append(s.held[hold.Name], h)
}

// Unlock frees a lock that Lock got. Of two that this process believes to hold the
// elder was lost, and is forgotten first.
func (s *SharedStorage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	list := s.held[name]
	if len(list) == 0 {
		s.mu.Unlock()
		return nil
	}
	h := list[0]
	if s.held[name] = slices.Delete(list, 0, 1); len(s.held[name]) == 0 {
		delete(s.held, name)
	}
	s.dropStaged(name)
	s.mu.Unlock()
	h.cancel()
	h.ended.Wait() // a renewal that comes after would lock it again
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return s.locks.Unlock(limited, h.hold)
}

// dropStaged forgets what waits and was never made whole.
func (s *SharedStorage) dropStaged(lock string) {
	for folder := range s.staged {
		if protects(lock, folder+"/") {
			delete(s.staged, folder)
		}
	}
}

// fence is the lock under which a key is written: that of the name whose certificate it
// is a part of. Other keys have none.
func (s *SharedStorage) fence(key string) SharedHold {
	list := s.heldFor(key)
	if len(list) == 0 {
		return SharedHold{}
	}
	return list[len(list)-1].hold
}

func (s *SharedStorage) heldFor(key string) []*heldLock {
	s.mu.Lock()
	defer s.mu.Unlock()
	for lock, list := range s.held {
		if protects(lock, key) {
			return list
		}
	}
	return nil
}

// protects reports whether a key is below the folder of the name that a lock is of:
// certificates/<authority>/<name>/.
func protects(lock, key string) bool {
	name, ok := strings.CutPrefix(lock, issueLock)
	return ok && strings.HasPrefix(key, certificates) && path.Base(path.Dir(key)) == certmagic.StorageKeys.Safe(name)
}
