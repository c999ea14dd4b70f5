package h3

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// serve gives a request to the handler, as net/http would.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer func() {
		if s.active.Add(-1) == 0 {
			select {
			case s.none <- struct{}{}:
			default:
			}
		}
	}()
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
		v.begin()
		defer v.end()
	}
	out := &writer{ResponseWriter: w, control: http.NewResponseController(w), server: s}
	if err := s.settle(out, r); err != nil {
		panic(http.ErrAbortHandler) // the client has left
	}
	s.Handler.ServeHTTP(out, r)
	out.finish(r.Method == http.MethodHead)
}

// settle finds out whether a request has a body, where it does not say: quic-go does not
// tell. Nearly all that have none end with their header.
func (s *Server) settle(w *writer, r *http.Request) error {
	if r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil
	}
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		r.Header.Del("Expect")
		w.WriteHeader(http.StatusContinue)
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch: // it may be sent as it is made
		return nil
	}
	if r.ContentLength > 0 {
		return nil
	}
	if err := w.control.SetReadDeadline(time.Now().Add(s.Header)); err != nil {
		return err
	}
	first := make([]byte, 1)
	_, err := io.ReadFull(r.Body, first)
	switch {
	case errors.Is(err, io.EOF):
		r.ContentLength, r.Body = 0, http.NoBody
		return nil
	case err != nil:
		return err
	}
	r.Body = &begun{io.MultiReader(strings.NewReader(string(first)), r.Body), r.Body}
	return w.control.SetReadDeadline(time.Time{})
}

// begun is a body of which something was read already.
type begun struct {
	io.Reader
	io.Closer
}

// largestWrite is how much is handed on at once: all of it has to leave within Stall.
const largestWrite = 64 << 10

// writer writes an answer. Who takes nothing of it for too long is let go of: QUIC tells
// only whether the client is there, not whether it reads.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	server  *Server
	status  int // of the answer, once it has one
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// wait gives the client time for what is written next.
func (w *writer) wait() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.server.Stall)) // writing tells of the same
}

func (w *writer) WriteHeader(status int) {
	w.wait()
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (written int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.wait()
		n, err := w.ResponseWriter.Write(p[:min(len(p), largestWrite)])
		written += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// ReadFrom copies with a buffer that is kept: there is no sendfile for QUIC.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	buffer := w.server.buffers.Get().(*[]byte)
	defer w.server.buffers.Put(buffer)
	return io.CopyBuffer(onlyWriter{w}, r, *buffer)
}

// onlyWriter hides ReadFrom.
type onlyWriter struct{ io.Writer }

// FlushError and Flush send what was written.
func (w *writer) FlushError() error {
	w.wait()
	return w.control.Flush()
}

func (w *writer) Flush() { _ = w.FlushError() }

// finish ends an answer. Those without a body by their nature are sent here: quic-go would
// say that the body has no bytes, which is another thing (RFC 9110, section 8.6).
func (w *writer) finish(head bool) {
	if head || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		w.Flush()
		return
	}
	w.wait() // for what is left
}
