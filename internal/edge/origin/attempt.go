package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// answer is what came of a question: a response, or why there is none.
type answer struct {
	response *http.Response
	err      error
}

// or returns the later of two answers, unless that is none and the other is one. The
// other is closed.
func (a answer) or(later answer) answer {
	if later.response == nil && a.response != nil || errors.Is(later.err, errLost) {
		later.close()
		return a
	}
	a.close()
	return later
}

func (a answer) close() {
	if a.response != nil {
		_ = a.response.Body.Close() // nobody reads it
	}
}

// errLost ends a try when another one has been answered first.
var errLost = errors.New("another one has answered first")

// lateError says that no answer has begun in time.
type lateError struct {
	name  string
	after time.Duration
}

// Error says who is late.
func (e *lateError) Error() string {
	return fmt.Sprintf("%s has begun no answer in %v", e.name, e.after)
}

// Timeout makes it a timeout, as those of net are.
func (e *lateError) Timeout() bool { return true }

// Temporary is part of a [net.Error].
func (e *lateError) Temporary() bool { return false }

// The phases of an attempt.
const (
	waiting = iota
	headed
	late
)

// attempt is a question that is asked of one target, from the choice until the body of
// the answer is closed.
type attempt struct {
	asker  *asker
	to     chosen
	q      *question
	race   *race // nil where it is not in one
	ctx    context.Context
	cancel context.CancelCauseFunc
	began  time.Time
	limit  time.Duration
	timer  *time.Timer
	phase  atomic.Int32
	over   sync.Once
}

// attempt begins one. Its run, or its release where it is not run, is called once.
func (a *asker) attempt(q *question, to chosen) *attempt {
	x := &attempt{asker: a, to: to, q: q, began: time.Now()}
	x.ctx, x.cancel = context.WithCancelCause(q.Context())
	x.limit = max(a.patience-x.began.Sub(q.began), 0)
	return x
}

// run asks, and judges by the answer who was asked.
func (x *attempt) run() answer {
	out := x.outgoing()
	response, err := x.to.via.RoundTrip(out)
	inTime := x.phase.CompareAndSwap(waiting, headed)
	x.timer.Stop()
	if err == nil && inTime {
		x.judge(response)
		x.keep(response)
		return answer{response: response}
	}
	if err == nil {
		_ = response.Body.Close() // it was too late
	}
	o := failure
	switch {
	case !inTime:
		err = &lateError{x.to.name, x.asker.patience}
		if x.q.polls || 2*x.limit < x.asker.patience {
			o = nothing // it waited on purpose, or others have used up the time
		}
	case errors.Is(context.Cause(x.ctx), errLost):
		// It would have taken longer, so what is known of this target grows no better by
		// leaving out those that were too slow.
		x.to.heads.add(time.Since(x.began))
		o, err = nothing, errLost
	case x.q.Context().Err() != nil, x.q.body.faulty():
		o = nothing
	}
	if o == failure {
		x.to.note(err.Error())
	}
	x.conclude(o)
	x.release()
	return answer{err: err}
}

// outgoing is the request to the target. The timer runs from when all of it is sent.
func (x *attempt) outgoing() *http.Request {
	ctx := x.ctx
	expire := func() {
		if x.phase.CompareAndSwap(waiting, late) {
			x.cancel(nil)
		}
	}
	x.timer = time.AfterFunc(x.limit, expire)
	if x.q.body != nil {
		x.timer.Stop()
		// It is set again by a transport's own second try, and also when an answer has come
		// before all was sent; then it ends nothing.
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { x.timer.Reset(x.asker.patience) },
		})
	}
	if trace := httptrace.ContextClientTrace(ctx); x.race != nil && trace != nil && trace.Got1xxResponse != nil {
		ctx = x.race.traced(ctx, trace, x)
	}
	out := x.q.WithContext(ctx)
	if x.q.body != nil {
		out.Body, out.GetBody = x.q.body, nil
	}
	x.to.address(out)
	return out
}

// judge takes what the head of an answer says of the target.
func (x *attempt) judge(response *http.Response) {
	fails := x.asker.fails(response)
	switch {
	case !fails:
		if x.q.hedgeable() {
			x.to.heads.add(time.Since(x.began))
		}
		x.conclude(success)
	case x.q.polls:
		x.conclude(nothing) // that nothing new has come is no failure
	default:
		x.to.note(response.Status)
		x.conclude(failure)
	}
}

func (x *attempt) conclude(o outcome) {
	if o == failure {
		x.to.failed.Add(1)
	}
	switch x.to.breaker.done(x.to.ticket, o, time.Now()) {
	case Open:
		x.asker.log.Warn("it is not asked for a while", "name", x.to.name, "last_error", x.to.condition(time.Now()).LastError)
	case Closed:
		x.asker.log.Info("it is asked again", "name", x.to.name)
	}
}

// release gives back what the attempt holds.
func (x *attempt) release() {
	x.over.Do(func() {
		x.cancel(nil)
		x.to.inFlight.Add(-1)
	})
}

// keep has the body of an answer release the attempt.
func (x *attempt) keep(response *http.Response) {
	if both, ok := response.Body.(io.ReadWriteCloser); ok {
		response.Body = &connection{both, x}
		return
	}
	response.Body = &body{response.Body, x}
}

// body is that of an answer.
type body struct {
	io.ReadCloser
	attempt *attempt
}

// Close gives back all that the answer holds.
func (b *body) Close() error {
	defer b.attempt.release()
	return b.ReadCloser.Close()
}

// connection is what a request that upgrades gets: it can be written to as well.
type connection struct {
	io.ReadWriteCloser
	attempt *attempt
}

// Close gives back all that the connection holds.
func (c *connection) Close() error {
	defer c.attempt.release()
	return c.ReadWriteCloser.Close()
}

// CloseWrite ends one direction, where that can be done.
func (c *connection) CloseWrite() error {
	if half, ok := c.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return fmt.Errorf("end one direction of a connection: %w", http.ErrNotSupported)
}
