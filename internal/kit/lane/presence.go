package lane

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// presence is the context of a request whose client may go. Most handlers never ask, and
// nothing is read for them.
type presence struct {
	base context.Context
	c    *conn

	mu     sync.Mutex
	inner  context.Context // once somebody has asked
	cancel context.CancelFunc
	unread chan struct{} // closed when nobody reads the connection any more
	over   bool          // the answer is
}

// Deadline is that of Listen's context.
func (p *presence) Deadline() (time.Time, bool) { return p.base.Deadline() }

// Done is closed when the client goes, or is over.
func (p *presence) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inner == nil {
		p.inner, p.cancel = context.WithCancel(p.base)
		if p.over {
			p.cancel()
		} else {
			p.watch()
		}
	}
	return p.inner.Done()
}

// Err says that Done is closed. That the client is gone is seen once Done was asked for.
func (p *presence) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.inner != nil:
		return p.inner.Err()
	case p.over:
		return context.Canceled
	}
	return p.base.Err()
}

// Value is that of Listen's context, by the inner one where that is: contexts that are made
// of this need no goroutine then.
func (p *presence) Value(key any) any {
	p.mu.Lock()
	in := p.inner
	p.mu.Unlock()
	if in == nil {
		in = p.base
	}
	return in.Value(key)
}

// watch reads the connection, until the client goes or sends its next request.
func (p *presence) watch() {
	c := p.c
	p.unread = make(chan struct{})
	err := c.SetReadDeadline(time.Time{})
	if c.filled == len(c.buffer) || err != nil { // the next requests have come already
		close(p.unread)
		return
	}
	go func() {
		defer close(p.unread)
		n, err := c.Read(c.buffer[c.filled:])
		c.filled += n
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			p.cancel()
		}
	}()
}

// end is called when the answer is over.
func (p *presence) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.inner != nil {
		_ = p.c.SetReadDeadline(time.Unix(1, 0)) // whoever reads next sets another
		<-p.unread
		p.cancel()
	}
}
