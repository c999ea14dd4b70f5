package cache

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// early is what an origin says before its answer: a status of 1xx, as 103 Early Hints
// (RFC 8297), with a header that tells nothing of the answer.
type early struct {
	status int
	header http.Header
}

// Bounds of what an origin may say before its answer to one request. What is above the
// first two is left out, above the last the request is given up.
const (
	mostEarly    = 5
	largestEarly = 8 << 10 // bytes of a header
	mostHeard    = 100
)

var errChatter = errors.New("the origin says too much before its answer")

// ears is what hears that, for one client. Those of HTTP/1.0 know nothing of it (RFC 9110,
// section 15.2).
type ears struct {
	tell  func(early)
	heard int
}

// trace is a context for a request to the origin by which it is heard.
func (e *ears) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: e.hear})
}

func (e *ears) hear(status int, header textproto.MIMEHeader) error {
	e.heard++
	switch {
	case e.heard > mostHeard:
		return errChatter
	// Who waits with a body has been told to go on when that was first read: 100 is for us.
	case e.heard > mostEarly, status == http.StatusContinue, headerSize(http.Header(header)) > largestEarly:
		return nil
	}
	said := early{status, http.Header(header)}
	removeConnectionFields(said.header)
	for _, name := range []string{altSvc, "Content-Length", "Surrogate-Control"} {
		delete(said.header, name)
	}
	e.tell(said)
	return nil
}

// headerSize is about how many bytes a header has.
func headerSize(header http.Header) (size int) {
	for name, lines := range header {
		for _, line := range lines {
			size += len(name) + len(line)
		}
	}
	return size
}

// send tells a client, whose answer has not begun.
func (e early) send(w http.ResponseWriter) {
	header := w.Header()
	for name, lines := range e.header {
		header[name] = lines
	}
	w.WriteHeader(e.status)
	for name := range e.header {
		delete(header, name) // none of the answer
	}
}

// passing is the transport of a request that is passed on. ReverseProxy tells clients of
// HTTP/1.0 too, with the fields of one connection, and forgets what was in their answer's
// header before.
type passing struct {
	http.RoundTripper
	w      http.ResponseWriter
	client *http.Request
}

func (p passing) RoundTrip(out *http.Request) (*http.Response, error) {
	ctx := context.Context(untraced{out.Context()})
	if p.client.ProtoAtLeast(1, 1) {
		var mu sync.Mutex
		over := false
		ears := &ears{tell: func(e early) {
			mu.Lock()
			defer mu.Unlock()
			if !over {
				e.send(p.w)
			}
		}}
		defer func() { // one that was given up may still be heard of
			mu.Lock()
			defer mu.Unlock()
			over = true
		}()
		ctx = ears.trace(ctx)
	}
	return p.RoundTripper.RoundTrip(out.WithContext(ctx))
}

// untraced is a context whose requests nobody traces.
type untraced struct{ context.Context }

// Value is the value of a key, but for a trace.
func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, traces := value.(*httptrace.ClientTrace); traces {
		return nil
	}
	return value
}
