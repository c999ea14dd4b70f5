package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// respond answers with an object.
func (c *Cache) respond(x *exchange, b *body, stored *response, status string, age time.Duration) {
	size, known := b.length()
	if !known {
		size, known = number(stored.header.Get("Content-Length"))
	}
	part := extent{span: span{0, -1}}
	if known {
		part = wanted(x.r, stored, size)
	}
	if x.writeHead(stored, status, age, part) {
		return
	}
	if err := x.send(b, part.span); err != nil {
		panic(http.ErrAbortHandler) // what was sent is not all: the client has to see that
	}
}

// send sends a part of a body.
func (x *exchange) send(b *body, s span) error {
	n, err := b.send(x.r.Context(), x.w, s)
	x.out.Bytes += n
	return err
}

// begin begins the answer.
func (x *exchange) begin(status int) {
	x.site.curtail(x.w.Header(), x.out)
	if x.site.Finish != nil {
		x.site.Finish(x.r, status, x.w.Header())
	}
	x.out.Status = status
	x.w.WriteHeader(status)
}

// writeHead writes the head of an answer, and reports whether that is all of it.
func (x *exchange) writeHead(stored *response, status string, age time.Duration, part extent) (over bool) {
	header := x.w.Header()
	for name, lines := range stored.header {
		header[name] = lines
	}
	if x.site.Audience == Caches {
		stamp(header, stored.asOf)
	}
	header["Age"] = []string{seconds(age)}
	header["Cache-Status"] = appendMember(stored.header["Cache-Status"], status)
	switch {
	case notModified(x.r, stored):
		delete(header, "Content-Length")
		x.begin(http.StatusNotModified)
		return true
	case part.none:
		header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(part.size, 10)}
		for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Etag", "Last-Modified"} {
			delete(header, name)
		}
		x.begin(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	code := stored.status
	if part.partial {
		code = http.StatusPartialContent
		header["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, part.size)}
	}
	if part.length >= 0 && code != http.StatusNoContent {
		header["Content-Length"] = []string{strconv.FormatInt(part.length, 10)}
	}
	x.begin(code)
	return x.r.Method == http.MethodHead || part.length == 0
}

// relay gives an answer of the origin to one client.
func (c *Cache) relay(x *exchange, in *http.Response, status string) {
	defer in.Body.Close()
	stop := context.AfterFunc(x.r.Context(), func() { _ = in.Body.Close() }) // reading it ends then
	defer stop()
	header := x.w.Header()
	for name, lines := range in.Header {
		header[name] = lines
	}
	header["Cache-Status"] = appendMember(header["Cache-Status"], status)
	x.begin(in.StatusCode)
	out := http.NewResponseController(x.w)
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	for {
		n, err := in.Body.Read(*buffer)
		if n > 0 {
			sent, err := x.w.Write((*buffer)[:n])
			x.out.Bytes += int64(sent)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			if err := out.Flush(); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				panic(http.ErrAbortHandler)
			}
			return
		}
	}
}

// pass has the origin answer, and stores nothing.
func (c *Cache) pass(x *exchange, why string) {
	// What lasts beside the request is of its own, so that a hit takes no memory for it.
	mine, out := *x, *x.out
	mine.out = &out
	defer func() { *x.out = out }()
	c.passOn(&mine, why)
}

func (c *Cache) passOn(x *exchange, why string) {
	w, r, site := x.w, x.r, x.site
	x.out.By = byPass
	c.counts.passed.Add(1)
	asOf := c.marks.latest.Load()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = site.address(r.URL), site.Origin.Host
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				p.Out.Header[name] = r.Header[name] // ReverseProxy has removed them
			}
			site.introduce(p.Out.Header, r, c.identity)
			if !upgrades(r) {
				p.Out.Header.Del("Upgrade")
				p.Out.Header.Del("Connection")
			}
		},
		Transport: passing{site.Transport, w, r}, FlushInterval: -1, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(in *http.Response) error {
			if in.StatusCode < http.StatusOK && in.StatusCode != http.StatusSwitchingProtocols {
				return errStatus(in.StatusCode)
			}
			delete(in.Header, altSvc)
			stamp(in.Header, asOf)
			in.Header["Cache-Status"] = appendMember(in.Header["Cache-Status"], c.name+"; fwd="+why+"; fwd-status="+strconv.Itoa(in.StatusCode))
			if changes(r.Method, in.StatusCode) {
				c.invalidate(site.key(r.Host, r.URL))
				for _, name := range []string{"Location", "Content-Location"} {
					if key, ok := site.keyOf(r, in.Header.Get(name)); ok {
						c.invalidate(key)
					}
				}
			}
			x.passes(in)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { c.cannot(x, err, c.name+"; fwd="+why) },
	}
	proxy.ServeHTTP(w, r)
}

// passes prepares an answer that is passed on.
func (x *exchange) passes(in *http.Response) {
	x.site.curtail(in.Header, x.out)
	if x.site.Finish != nil {
		x.site.Finish(x.r, in.StatusCode, in.Header)
	}
	x.out.Status = in.StatusCode
	if in.StatusCode != http.StatusSwitchingProtocols { // that has to stay something to write to
		in.Body = &countedBody{in.Body, &x.out.Bytes}
	}
}

// countedBody counts what is read of it.
type countedBody struct {
	io.ReadCloser
	n *int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	*b.n += int64(n)
	return n, err
}

// refuse says that nothing is stored.
func (c *Cache) refuse(x *exchange) {
	x.out.Status = http.StatusGatewayTimeout
	x.w.Header()["Cache-Status"] = []string{c.name + "; fwd=request; detail=only-if-cached"}
	http.Error(x.w, "nothing is stored for this, and the request wants nothing else", http.StatusGatewayTimeout)
}

// cannot says that the origin gave no answer.
func (c *Cache) cannot(x *exchange, err error, status string) {
	x.w.Header()["Cache-Status"] = []string{status}
	code, says := http.StatusBadGateway, "the origin cannot be reached; try again in a few seconds"
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		code, says = http.StatusGatewayTimeout, "the origin has not answered in time; try again in a few seconds"
	}
	c.log.Warn("the origin gives no answer", "cause", err)
	x.out.Status = code
	http.Error(x.w, says, code)
}
