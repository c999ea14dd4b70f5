package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"liuyun/internal/base/id"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/obs"
)

// exchange is one request and what became of it, for its log line.
type exchange struct {
	id        string
	status    int   // 0 while unknown: a raw handler answered by itself
	err       error // why it failed
	principal guard.Principal
}

type exchangeKey struct{}

// exchangeOf returns the exchange that ctx carries, or an empty one.
func exchangeOf(ctx context.Context) *exchange {
	if e, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return e
	}
	return &exchange{}
}

// RequestID returns the id of the request that ctx belongs to, or "". It stands in
// the answer's X-Request-Id header and in the log.
func RequestID(ctx context.Context) string { return exchangeOf(ctx).id }

// watcher counts and logs what operations do.
type watcher struct {
	log      *slog.Logger
	ids      *id.Maker
	requests *obs.Counter
	seconds  *obs.Histogram
}

func newWatcher(log *slog.Logger, metrics *obs.Registry) *watcher {
	return &watcher{
		log:      log,
		ids:      &id.Maker{},
		requests: metrics.Counter("liuyun_http_requests_total", "Requests to the API. Status is raw where the handler answered by itself.", "op", "status"),
		seconds:  metrics.Histogram("liuyun_http_request_duration_seconds", "Time to answer requests to the API.", obs.Latency(), "op"),
	}
}

// watch gives each request an id and tells of its end. For a raw operation the
// ResponseWriter is passed on as it is.
func (o *watcher) watch(op Op, raw bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &exchange{id: o.requestID(r)}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e))
		setHeaders(w.Header(), e.id)
		began := time.Now()
		to := w
		var answer *recorder
		if !raw {
			answer = &recorder{ResponseWriter: w}
			to = answer
		}
		defer func() {
			if p := recover(); p != nil {
				o.panicked(w, r, e, answer, p)
			} else if answer != nil && e.status == 0 {
				e.status = answer.status
			}
			o.tell(op, r, e, time.Since(began), raw)
			if e.status == statusAborted {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(to, r)
	})
}

// statusAborted stands in the log for an answer that was broken off.
const statusAborted = -1

// panicked turns a panic into a 500, or breaks the connection when the answer has
// begun: half an answer must not look whole. The stack stays here.
func (o *watcher) panicked(w http.ResponseWriter, r *http.Request, e *exchange, answer *recorder, p any) {
	if p == http.ErrAbortHandler {
		e.status = statusAborted
		return
	}
	err, isError := p.(error)
	if !isError {
		err = fmt.Errorf("%v", p)
	}
	if answer != nil && answer.failed || r.Context().Err() != nil { // huma panics when the client has gone
		e.status, e.err = statusAborted, err
		return
	}
	o.log.Error("panic in a request", "request", e.id, "error", err, "stack", string(debug.Stack()))
	if answer == nil || answer.status != 0 {
		e.status, e.err = statusAborted, err
		return
	}
	Problem(w, r, fmt.Errorf("panic: %w", err))
}

// tell writes the access log line: at debug, or at warn when it is our fault.
func (o *watcher) tell(op Op, r *http.Request, e *exchange, took time.Duration, raw bool) {
	status := strconv.Itoa(e.status)
	switch {
	case e.status == statusAborted:
		status = "aborted"
	case e.status == 0 && raw:
		status = "raw"
	}
	o.requests.Add(1, op.ID, status)
	if !raw {
		o.seconds.Observe(took.Seconds(), op.ID)
	}
	level := slog.LevelDebug
	if e.status >= 500 && r.Context().Err() == nil {
		level = slog.LevelWarn
	}
	if !o.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("status", status),
		slog.Duration("took", took.Round(10*time.Microsecond)), slog.String("request", e.id), slog.String("from", r.RemoteAddr)}
	if e.principal.Key != "" {
		attrs = append(attrs, slog.String("key", e.principal.Key), slog.String("tenant", e.principal.Tenant))
	}
	if e.err != nil {
		attrs = append(attrs, slog.Any("error", e.err))
	}
	o.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID takes the id that a proxy gave the request when it is harmless to
// repeat, or makes one.
func (o *watcher) requestID(r *http.Request) string {
	given := r.Header.Get("X-Request-Id")
	if given == "" || len(given) > 64 {
		return o.ids.New("req")
	}
	for _, c := range []byte(given) {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return o.ids.New("req")
		}
	}
	return given
}

// setHeaders sets what keeps an answer of the API from being taken for a page,
// kept by a cache, framed or read by another site.
func setHeaders(h http.Header, requestID string) {
	h.Set("X-Request-Id", requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	failed bool // a write did
}

// WriteHeader notes the first status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implies 200, as that of net/http does.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.failed = r.failed || err != nil
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
