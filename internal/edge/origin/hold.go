package origin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Hold has blocking reloads of playlists wait for origins that cannot be reached. Players
// expect to wait for them, and have few tries: by an error at once they have used these up,
// or have left, before an origin that was started anew answers. What is not answered in
// time is 503, as for a reload that was blocked for too long (RFC 8216bis, section
// 6.2.5.2). It stands where viewers are answered and not between caches, so that nobody
// waits twice. All else goes to Next as it is.
type Hold struct {
	Next http.RoundTripper
	// Also says what waits besides, as the part that such a playlist has announced; nil for
	// nothing. In the end it fails as it would have at first.
	Also func(*http.Request) bool
	// Held bounds with its room how many wait at a time, of all that share it: the others
	// are told at once. nil is no bound.
	Held chan struct{}
}

const (
	holdFor   = 5 * time.Second
	holdAgain = 250 * time.Millisecond
	// holdSays is for people.
	holdSays = "there is nothing new, as the origin cannot be reached; try again\n"
)

// RoundTrip asks Next, and again what may wait, until somebody answers.
func (h Hold) RoundTrip(r *http.Request) (*http.Response, error) {
	reload := polls(r.URL.RawQuery)
	if !repeatable(r) || !reload && (h.Also == nil || !h.Also(r)) {
		return h.Next.RoundTrip(r)
	}
	deadline, held := time.Now().Add(holdFor), false
	for {
		in, err := h.Next.RoundTrip(r.Clone(r.Context()))
		var network net.Error
		if err == nil || errors.As(err, &network) && network.Timeout() {
			return in, err // who was silent for so long has had his time
		}
		if left := r.Context().Err(); left != nil {
			return nil, left
		}
		if !held && h.Held != nil {
			select {
			case h.Held <- struct{}{}:
				held = true
				defer func() { <-h.Held }()
			default:
				deadline = time.Time{}
			}
		}
		switch over := time.Until(deadline) < holdAgain; {
		case over && reload:
			return blocked(r), nil
		case over:
			return nil, err
		}
		again := time.NewTimer(holdAgain)
		select {
		case <-again.C:
		case <-r.Context().Done():
			again.Stop()
			return nil, r.Context().Err()
		}
	}
}

// blocked is what a reload is told that was held in vain. It may be given to all who wait.
func blocked(r *http.Request) *http.Response {
	return &http.Response{
		Status: "503 Service Unavailable", StatusCode: http.StatusServiceUnavailable, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{
			"Retry-After": {"1"}, "Content-Type": {"text/plain; charset=utf-8"}, "Access-Control-Allow-Origin": {"*"},
		},
		Body: io.NopCloser(strings.NewReader(holdSays)), ContentLength: int64(len(holdSays)),
	}
}
