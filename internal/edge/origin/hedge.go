package origin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// A GET that is not answered is sent to somebody else as well when 95 of 100 of the last
// answers had begun by then. The first head wins, and the other try is cancelled.
const (
	hedgeAfter = 50 * time.Millisecond // never earlier
	hedgeShare = whole / 20            // of the GETs, at most
	mostSaved  = 10                    // hedges that may come at once
	whole      = 1000
)

// budget bounds how many requests are sent twice: each one saves a share of a second
// try. It is in thousandths.
type budget struct{ saved atomic.Int64 }

func (b *budget) earn() {
	if b.saved.Load() < mostSaved*whole {
		b.saved.Add(hedgeShare) // those who pass together save a little too much
	}
}

func (b *budget) spend() bool {
	for {
		saved := b.saved.Load()
		if saved < whole {
			return false
		}
		if b.saved.CompareAndSwap(saved, saved-whole) {
			return true
		}
	}
}

// asker is what a Pool and a Tier have in common.
type asker struct {
	patience time.Duration // until the head of an answer
	budget   budget
	fails    func(*http.Response) bool // the answer says that who was asked cannot answer
	log      *slog.Logger
}

const defaultPatience = time.Minute

func (a *asker) configure(patience time.Duration, log *slog.Logger) {
	a.patience, a.log = patience, log
	if a.patience <= 0 {
		a.patience = defaultPatience
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
}

// over reports whether the time for an answer has passed.
func (a *asker) over(q *question) bool { return time.Since(q.began) >= a.patience }

// answers reports whether there is an answer that nobody else has to be asked for.
func (a *asker) answers(got answer) bool { return got.err == nil && !a.fails(got.response) }

// spare finds who else may be asked, or nobody.
type spare func(*question) (chosen, bool)

// ask asks one target, and a second one where that takes long.
func (a *asker) ask(q *question, first chosen, second spare) answer {
	q.tried = append(q.tried, first.target)
	one := a.attempt(q, first)
	if second == nil || !q.hedgeable() {
		return one.run()
	}
	a.budget.earn()
	usual := first.heads.p95()
	if usual == 0 || len(q.tried) > 1 {
		return one.run()
	}
	q.detach()
	r := &race{asker: a, first: one, done: make(chan struct{})}
	one.race = r
	timer := time.AfterFunc(max(usual, hedgeAfter), func() {
		defer close(r.done)
		r.begin(q, second)
	})
	got := one.run()
	if timer.Stop() {
		return got
	}
	if a.answers(got) && r.claim(one) {
		return got
	}
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.winner {
	case one: // by an interim answer, and then it failed
		return got
	case nil:
		return got.or(r.other)
	}
	got.close()
	return r.other
}

// race is a question that two are asked. Its first attempt runs where the question was
// asked, the second one beside it.
type race struct {
	asker *asker
	first *attempt
	done  chan struct{} // closed when there will be no more of the second

	mu     sync.Mutex
	winner *attempt
	second *attempt
	other  answer // of the second, where it is not the loser's
}

// begin begins the second attempt and waits for its answer.
func (r *race) begin(q *question, second spare) {
	r.other = answer{err: errLost}
	if r.decided() || !r.asker.budget.spend() {
		return
	}
	to, ok := second(q)
	if !ok {
		r.asker.budget.saved.Add(whole)
		return
	}
	q.tried = append(q.tried, to.target)
	two := r.asker.attempt(q, to)
	two.race = r
	if !r.enter(two) {
		two.conclude(nothing)
		two.release()
		return
	}
	got := two.run()
	if r.asker.answers(got) {
		r.claim(two)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner == r.first {
		got.close()
		return
	}
	r.other = got
}

func (r *race) decided() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.winner != nil
}

func (r *race) enter(two *attempt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner == nil {
		r.second = two
	}
	return r.winner == nil
}

// claim makes an attempt the winner, unless the other one is it, and ends the other.
func (r *race) claim(x *attempt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner != nil {
		return r.winner == x
	}
	r.winner = x
	switch {
	case x != r.first:
		r.first.cancel(errLost)
	case r.second != nil:
		r.second.cancel(errLost)
		r.other.close()
		r.other = answer{err: errLost}
	}
	return true
}

// traced is a context whose trace gets the interim answers (1xx) of the winner only. One
// that has sent such an answer is it: what a client was told cannot be taken back.
func (r *race) traced(ctx context.Context, trace *httptrace.ClientTrace, x *attempt) context.Context {
	mine, pass := *trace, trace.Got1xxResponse
	mine.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
		if !r.claim(x) {
			return errLost
		}
		return pass(code, header)
	}
	return tracing{ctx, &mine}
}

// tracing is a context with another trace. [httptrace.WithClientTrace] would have both
// called.
type tracing struct {
	context.Context
	trace *httptrace.ClientTrace
}

// Value returns the other trace.
func (t tracing) Value(key any) any {
	value := t.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return t.trace
	}
	return value
}
