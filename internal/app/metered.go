package app

import (
	"io"
	"net/http"
	"sync/atomic"

	"liuyun/internal/edge/front"
)

// metered counts what origins or shields are asked, and the bytes that come from them for
// a site.
type metered struct {
	next  http.RoundTripper
	site  string
	front *front.Front
	asked *atomic.Int64
}

// RoundTrip asks, and counts what is read of the answer.
func (m *metered) RoundTrip(r *http.Request) (*http.Response, error) {
	m.asked.Add(1)
	in, err := m.next.RoundTrip(r)
	if err == nil && in.StatusCode != http.StatusSwitchingProtocols { // that has to stay something to write to
		in.Body = &meteredBody{ReadCloser: in.Body, meter: m}
	}
	return in, err
}

// meteredBody is told to the front when it is closed, and not at each read.
type meteredBody struct {
	io.ReadCloser
	meter *metered
	n     atomic.Int64 // who gives up closes while it is read
}

// Read reads and counts.
func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// Close tells how much it was.
func (b *meteredBody) Close() error {
	b.meter.front.Fetched(b.meter.site, b.n.Swap(0))
	return b.ReadCloser.Close()
}
