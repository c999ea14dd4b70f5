package cloud

import (
	"context"
	"sync"
	"testing"
	"time"
)

// listener is what the stream of events has told.
type listener struct {
	mu   sync.Mutex
	told map[string]int // how often, by type and asset
}

// follow listens to the events of the cloud until the end of the test.
func (n node) follow(t *testing.T) *listener {
	t.Helper()
	l := &listener{told: make(map[string]int)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event, err := range n.Events(ctx, "") {
			if err != nil {
				return
			}
			if asset, err := event.Asset(); err == nil {
				l.mu.Lock()
				l.told[event.Type+" "+asset.ID]++
				if asset.WaitingFor != "" {
					l.told["waiting for "+asset.WaitingFor+" "+asset.ID]++
				}
				l.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// times is how often an event of an asset has come.
func (l *listener) times(kind, asset string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[kind+" "+asset]
}

// heard reports whether an event of an asset has come.
func (l *listener) heard(kind, asset string) bool { return l.times(kind, asset) > 0 }

// once waits until an event of an asset has come, and holds it to one time.
func (l *listener) once(t *testing.T, kind, asset string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !l.heard(kind, asset) {
		if time.Now().After(deadline) {
			t.Fatalf("%s of %s was not told", kind, asset)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := l.times(kind, asset); n > 1 {
		t.Errorf("%s of %s was told %d times", kind, asset, n)
	}
}
