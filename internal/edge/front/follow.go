package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
)

const (
	// Control nodes are asked at times within this, whatever they told.
	askEvery     = 5 * time.Second
	askEveryMost = 10 * time.Second
	askTimeout   = 5 * time.Second
	// reconnectSpread is within which all edges ask that were cut off together.
	reconnectSpread = time.Second
	// missedSpread is within which all edges ask that have missed the same.
	missedSpread = 250 * time.Millisecond
	// While nothing is known yet, control nodes are asked sooner.
	eagerFirst = 500 * time.Millisecond
	// mostBumps bounds what control nodes told and was not applied yet. What comes above
	// it is dropped, and asked for.
	mostBumps = 64
	// mostPurges and mostPages bound an answer on several pages.
	mostPurges = 100_000
	mostPages  = 10_000
	// An edge that was told all and still has another sum does not ask for all again
	// before the first of these; the second is the most, after doubling.
	doubtFirst = time.Minute
	doubtMost  = 16 * time.Minute
)

// follower applies what control nodes tell. It is of one goroutine.
type follower struct {
	*Front
	ready   func()
	answers chan answer // of the question that is under way
	timer   *time.Timer
	due     time.Time          // of the timer; zero when it does not run
	cancel  context.CancelFunc // of the question that is under way; nil when none is
	staged  *State             // of a whole answer on several pages
	purges  []edge.Purge       // of staged
	pages   int                // answers in a row after which there was more
	// distrust has all be told anew, because what is held has another sum than it should.
	distrust bool
	doubt    time.Duration // how long all is not asked for again
	believe  time.Time     // until then
	eager    time.Duration
	failures int  // in a row, that were not logged
	silent   bool // control nodes do not answer, and that was logged
	stuck    bool // purges do not work, and that was logged
}

// answer is what came of a question.
type answer struct {
	delta edge.Delta
	err   error
}

func newFollower(f *Front, ready func()) *follower {
	c := &follower{Front: f, ready: ready, answers: make(chan answer, 1), timer: time.NewTimer(time.Hour), eager: eagerFirst}
	c.timer.Stop()
	return c
}

// hearChange takes what a control node told all edges.
func (f *Front) hearChange(data []byte) {
	var d edge.Delta
	if json.Unmarshal(data, &d) != nil {
		nudge(f.missed)
		return
	}
	d.Secrets = nil // they come with answers only
	select {
	case f.bumps <- d:
	default:
		nudge(f.missed)
	}
}

func (c *follower) run(ctx context.Context) {
	defer c.timer.Stop()
	if len(c.State().Sites) > 0 {
		c.within(between(0, reconnectSpread))
	} else {
		c.within(0)
	}
	for {
		select {
		case <-ctx.Done():
			if c.cancel != nil {
				c.cancel()
				<-c.answers
			}
			return
		case <-c.missed:
			c.within(between(0, reconnectSpread))
		case <-c.back:
			if c.cancel != nil {
				c.cancel() // it went into a connection that is no more
			}
			c.within(between(0, reconnectSpread))
		case d := <-c.bumps:
			c.bump(&d)
		case <-c.timer.C:
			c.due = time.Time{}
			c.ask(ctx)
		case a := <-c.answers:
			c.cancel()
			c.cancel = nil
			if ctx.Err() == nil {
				c.within(c.answered(a))
			}
		}
	}
}

// within has control nodes asked after d at the latest.
func (c *follower) within(d time.Duration) {
	if due := time.Now().Add(d); c.due.IsZero() || due.Before(c.due) {
		c.due = due
		c.timer.Reset(d)
	}
}

// ask asks what has changed. One question is under way at a time.
func (c *follower) ask(ctx context.Context) {
	if c.cancel != nil {
		c.within(missedSpread)
		return
	}
	held := c.State().Revision
	q := edge.Ask{Node: c.deps.Node, Place: c.deps.Place, Revision: held, Fresh: held == 0 && !c.distrust}
	switch {
	case c.staged != nil:
		q.Revision, q.Rest = c.staged.Revision, true
	case c.distrust:
		q.Revision = 0
	}
	ctx, c.cancel = context.WithTimeout(ctx, askTimeout)
	go func() {
		var a answer
		a.err = c.deps.Bus.Request(ctx, bus.From(edge.SubjectAsk, c.deps.Node), q, &a.delta)
		if a.err == nil && a.delta.From != q.Revision && !a.delta.Whole {
			a.err = fmt.Errorf("asked for what is after revision %d, told what is after %d", q.Revision, a.delta.From)
		}
		c.answers <- a
	}()
}

// answered takes an answer and says when to ask again.
func (c *follower) answered(a answer) time.Duration {
	if a.err == nil {
		a.delta.Whole = a.delta.Whole || c.distrust && a.delta.From == 0
		a.err = c.apply(&a.delta)
	}
	if c.pages++; c.pages > mostPages && a.err == nil {
		a.err = fmt.Errorf("there was more after %d answers", mostPages)
	}
	if a.err != nil || !a.delta.More {
		c.pages = 0
	}
	var unfit misfit
	switch {
	case errors.As(a.err, &unfit):
		return between(0, missedSpread)
	case a.err != nil:
		c.staged, c.purges = nil, nil
		return c.failed(a.err)
	case a.delta.More || c.distrust:
		return 0
	}
	c.failures = 0
	if c.silent {
		c.deps.Log.Info("control nodes answer again", "revision", c.State().Revision)
		c.silent = false
	}
	c.ready()
	c.table.retry(c.State().Sites)
	return between(askEvery, askEveryMost)
}

// failed says when to ask again after an error, which is logged once.
func (c *follower) failed(err error) time.Duration {
	var unclean *purgeError
	switch code := fault.CodeOf(err); {
	case errors.As(err, &unclean):
		return between(time.Second, 2*time.Second)
	case errors.Is(err, context.Canceled) || code == fault.Canceled:
		return reconnectSpread // see run
	case !c.silent && c.failures == 0: // it may only be that the bus is not connected yet
		c.failures++
	case !c.silent:
		c.deps.Log.Warn("control nodes do not say what has changed; what is known is served, and they are asked again", "error", fault.Message(err), "revision", c.State().Revision)
		c.silent = true
	}
	if c.State().Revision > 0 {
		return between(askEvery, askEveryMost)
	}
	wait := between(c.eager/2, c.eager)
	c.eager = min(2*c.eager, askEvery)
	return wait
}

// bump takes what a control node told all.
func (c *follower) bump(d *edge.Delta) {
	if d.Revision <= c.State().Revision && c.staged == nil {
		return // it was in an answer already
	}
	err := error(misfit{})
	if c.staged == nil && !c.distrust {
		err = c.apply(d)
	}
	var unclean *purgeError
	switch {
	case errors.As(err, &unclean):
		c.within(between(time.Second, 2*time.Second))
	case err != nil:
		c.within(between(0, missedSpread))
	case d.More || c.distrust:
		c.within(0)
	}
}

// misfit is what cannot be applied to what is held.
type misfit struct{}

func (misfit) Error() string { return "there is something between what is held and what was told" }

// purgeError is why purges could not be carried out.
type purgeError struct{ cause error }

func (e *purgeError) Error() string { return "purge: " + e.cause.Error() }

// apply takes a delta in. After an error what is held is of no later revision than before.
func (c *follower) apply(d *edge.Delta) error {
	base, whole := c.State(), d.Whole || c.staged != nil
	switch {
	case d.Revision < 0, d.Revision < d.From && !d.Whole:
		return fmt.Errorf("what was told is from revision %d to %d", d.From, d.Revision)
	case d.Whole && d.More && c.staged != nil:
		return errors.New("asked for the rest of all, told its beginning again")
	case d.Whole:
		base = &State{Secrets: base.Secrets}
		c.staged, c.purges = nil, nil
	case c.staged != nil:
		base = c.staged
	}
	switch {
	case d.Whole || d.From == base.Revision:
	case d.Revision <= base.Revision:
		return nil // it was told already
	default:
		return misfit{}
	}
	next, err := base.with(d)
	if err != nil {
		return err
	}
	purges := append(c.purges, d.Purges...)
	if len(purges) > mostPurges {
		return fmt.Errorf("more than %d purges at once", mostPurges)
	}
	if whole && d.More {
		c.staged, c.purges = next, purges // half of all would be less than before
		return nil
	}
	c.staged, c.purges = nil, nil
	if !d.More && !c.sound(next, d.Sum, whole) {
		return nil
	}
	return c.commit(next, purges, whole)
}

// sound reports whether a state is to be applied. Else all is asked for.
func (c *follower) sound(next *State, sum uint64, whole bool) bool {
	switch {
	case next.sum == sum:
		if !whole {
			c.doubt = 0
		}
		return true
	case whole:
		c.deps.Log.Warn("all that control nodes told has not the sum that they say; it is applied", "revision", next.Revision)
		return true
	case time.Now().Before(c.believe):
		return true
	}
	c.deps.Log.Warn("what is known here is not what control nodes know; all is asked for", "revision", next.Revision)
	c.doubt = min(max(2*c.doubt, doubtFirst), doubtMost)
	c.believe = time.Now().Add(c.doubt)
	c.distrust = true
	return false
}

// commit applies a state, then purges, and only then says that both are. What is purged
// must not come back by what a site was before.
func (c *follower) commit(next *State, purges []edge.Purge, whole bool) error {
	held := c.State()
	since := held.Revision
	if c.distrust || whole && next.Revision < since {
		since = 0 // what was applied may be of another history
	}
	purges = slices.DeleteFunc(purges, func(p edge.Purge) bool { return p.Revision <= since })
	if next.changed || whole {
		now := *next
		if len(purges) > 0 {
			now.Revision = held.Revision
		}
		c.take(&now)
	}
	if len(purges) > 0 {
		if err := c.deps.Purge(purges); err != nil {
			if !c.stuck {
				c.deps.Log.Error("what is void cannot be removed from the cache; it is tried again", "error", err)
				c.stuck = true
			}
			return &purgeError{err}
		}
	}
	c.stuck = false
	if whole {
		c.distrust = false
	}
	if next.changed || whole || next.Revision != held.Revision {
		c.state.Store(next)
		nudge(c.changed)
		nudge(c.report)
	}
	return nil
}

// take has a state served.
func (c *follower) take(s *State) {
	c.state.Store(s)
	if c.deps.Changed != nil {
		c.deps.Changed(s)
	}
	c.tally.follow(s.Sites)
	c.table.set(s.Sites)
}
