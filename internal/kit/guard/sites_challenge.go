package guard

import (
	"context"
	"path"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"liuyun/internal/base/fault"
)

// alpnChallenge is the protocol by which an authority asks (RFC 8737, section 6.2).
const alpnChallenge = "acme-tls/1"

const (
	challengeFor  = time.Second     // that an answer about a challenge holds
	challengeTime = 5 * time.Second // in which it has to come
	asksAtOnce    = 8               // for challenges
)

// challenges knows for which names an authority is expected to ask. Anybody can ask as an
// authority does, so control nodes are asked once a second for each name, and for few
// names at a time.
type challenges struct {
	storage *SharedStorage
	issuer  string

	mu    sync.Mutex
	found map[string]*challenge // by name; cleared when none runs and many are there
	asks  int                   // that run
}

// challenge is what is known of one name.
type challenge struct {
	done  chan struct{}
	err   error
	until time.Time // set when it is done
}

// open is nil when an edge has asked for a certificate for the name, and the authority
// has not been answered yet. The name must be a managed one.
func (c *challenges) open(ctx context.Context, name string) error {
	if _, here := certmagic.GetACMEChallenge(name); here {
		return nil
	}
	c.mu.Lock()
	found := c.found[name]
	if found == nil || found.over(time.Now()) {
		if c.asks >= asksAtOnce {
			c.mu.Unlock()
			return fault.New(fault.Limit, "too many names are asked for at once")
		}
		if c.asks == 0 && len(c.found) >= MostManaged {
			clear(c.found) // of names that sites had once
		}
		found = &challenge{done: make(chan struct{})}
		c.found[name] = found
		c.asks++
		go c.ask(name, found)
	}
	c.mu.Unlock()
	select {
	case <-found.done:
		return found.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *challenge) over(now time.Time) bool {
	select {
	case <-c.done:
		return !now.Before(c.until)
	default:
		return false
	}
}

// ask looks where certmagic leaves challenges for other machines.
func (c *challenges) ask(name string, found *challenge) {
	ctx, cancel := context.WithTimeout(context.Background(), challengeTime)
	defer cancel()
	keys := certmagic.StorageKeys
	_, err := c.storage.Load(ctx, path.Join("acme", keys.Safe(c.issuer), "challenge_tokens", keys.Safe(name)+".json"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks--
	found.err, found.until = err, time.Now().Add(challengeFor)
	close(found.done)
}
