package vod

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	tusd "github.com/tus/tusd/v2/pkg/handler"
	tuslog "golang.org/x/exp/slog"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/web"
)

// Limits of Upload-Metadata.
const (
	maxUploadName    = 1024     // bytes
	maxUploadOptions = 64 << 10 // bytes
)

// parseUploadMetadata reads the header Upload-Metadata (tus 1.0.0, creation): pairs of
// a key and a Base64 value with commas between. Keys that we do not know are the
// client's own and are passed over.
func parseUploadMetadata(header string) (r UploadRequest, err error) {
	bad := func(format string, args ...any) (UploadRequest, error) {
		return UploadRequest{}, fault.New(fault.Invalid, "Upload-Metadata: "+format, args...)
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(header, ",") {
		key, encoded, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" {
			continue
		}
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil {
			return bad("the value of %.40q is not Base64", key)
		}
		if seen[key] {
			return bad("%.40q is there twice", key)
		}
		seen[key] = true
		switch key {
		case "filename":
			if len(value) > maxUploadName || !utf8.Valid(value) {
				return bad("filename has more than %d bytes or is not UTF-8", maxUploadName)
			}
			r.Name = string(value)
		case "asset":
			if !id.Valid("ast", string(value)) {
				return bad("%.40q is not the id of an asset", value)
			}
			r.Asset = string(value)
		case "options":
			if len(value) > maxUploadOptions || !json.Valid(value) {
				return bad("options has more than 64 KiB or is not JSON")
			}
			r.Options = value
		case "playback_policy":
			if string(value) != "public" && string(value) != "signed" {
				return bad("playback_policy is public or signed")
			}
			r.PlaybackPolicy = string(value)
		}
	}
	return r, nil
}

// uploadAnswer makes the address of a new upload relative, so that it is right behind
// any proxy, and adds the asset's id. What tus refuses by itself, in plain text, is
// told as a problem like all errors of the API, and nothing of our inside with it.
// No media passes through it, and the server's own writer stays reachable.
type uploadAnswer struct {
	http.ResponseWriter
	request *http.Request
	refused int // status of a refusal whose text is awaited
}

// Unwrap returns the server's writer.
func (a *uploadAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader sends the headers, or waits for the words of a refusal.
func (a *uploadAnswer) WriteHeader(status int) {
	if status >= 400 && strings.HasPrefix(a.Header().Get("Content-Type"), "text/plain") {
		if a.refused = status; a.request.Method == http.MethodHead {
			web.Problem(a.ResponseWriter, a.request, refusal(status, ""))
		}
		return
	}
	if location := a.Header().Get("Location"); location != "" {
		asset := path.Base(location)
		a.Header().Set("Location", uploadPath+asset)
		a.Header().Set("Liuyun-Asset", asset)
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body, or all of a refusal.
func (a *uploadAnswer) Write(p []byte) (int, error) {
	if a.refused == 0 {
		return a.ResponseWriter.Write(p)
	}
	web.Problem(a.ResponseWriter, a.request, refusal(a.refused, string(p)))
	return len(p), nil
}

// refusal is what tus says, "ERR_SOMETHING: some words", as a fault.
func refusal(status int, text string) error {
	name, words, _ := strings.Cut(strings.TrimSpace(text), ": ")
	code := fault.Invalid
	switch {
	case status == http.StatusConflict, status == http.StatusLocked, name == tusd.ErrUploadInterrupted.ErrorCode:
		code, words = fault.Unavailable, "another request has gone on with this upload; ask with HEAD how far it is, and go on from there"
	case status >= 500:
		code, words = fault.Unavailable, "the upload was held up; ask with HEAD how far it is, and go on from there"
	case status == http.StatusNotFound:
		code = fault.NotFound
	case status == http.StatusRequestEntityTooLarge:
		code = fault.Limit
	}
	return web.WithStatus(status, fault.New(code, "%s", cmp.Or(words, "tus 1.0 does not take this request")))
}

// uploadLocks lets one request at a time touch an upload.
type uploadLocks struct {
	mu   sync.Mutex
	held map[string]*uploadLock
}

type uploadLock struct {
	locks    *uploadLocks
	id       string
	released chan struct{}
	cut      *uploadCut // asks the holder to let go; nil when it cannot be asked
}

// uploadCut ends a request from outside. tus has a way of its own for that, which
// reads what another goroutine writes.
type uploadCut struct {
	done    atomic.Bool
	control *http.ResponseController
}

type uploadCutKey struct{}

// end stops the reading of the body, also one that waits for the client.
func (c *uploadCut) end() {
	c.done.Store(true)
	_ = c.control.SetReadDeadline(time.Now()) // a writer without it is asked before each read
}

// reader gives what r gives until the request is ended.
func (c *uploadCut) reader(r io.Reader) io.Reader { return &cutReader{c, r} }

type cutReader struct {
	cut *uploadCut
	r   io.Reader
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.cut.done.Load() {
		return 0, tusd.ErrUploadInterrupted
	}
	n, err := c.r.Read(p)
	if c.cut.done.Load() {
		return n, tusd.ErrUploadInterrupted
	}
	return n, err
}

var (
	_ tusd.Locker = (*uploadLocks)(nil)
	_ tusd.Lock   = (*uploadLock)(nil)
)

// NewLock returns a lock that is not held.
func (l *uploadLocks) NewLock(id string) (tusd.Lock, error) {
	return &uploadLock{locks: l, id: id, released: make(chan struct{})}, nil
}

// try holds the lock, or returns the one that is held.
func (l *uploadLock) try() (holder *uploadLock) {
	l.locks.mu.Lock()
	defer l.locks.mu.Unlock()
	if holder := l.locks.held[l.id]; holder != nil {
		return holder
	}
	if l.locks.held == nil {
		l.locks.held = make(map[string]*uploadLock)
	}
	l.locks.held[l.id] = l
	return nil
}

// Lock cuts the holder off and waits until it has stored what it got.
func (l *uploadLock) Lock(ctx context.Context, _ func()) error {
	l.cut, _ = ctx.Value(uploadCutKey{}).(*uploadCut)
	for {
		holder := l.try()
		if holder == nil {
			return nil
		}
		if holder.cut != nil {
			holder.cut.end()
		}
		select {
		case <-holder.released:
		case <-ctx.Done():
			return tusd.ErrLockTimeout
		}
	}
}

// Unlock lets the next one in.
func (l *uploadLock) Unlock() error {
	l.locks.mu.Lock()
	defer l.locks.mu.Unlock()
	delete(l.locks.held, l.id)
	close(l.released)
	return nil
}

// tusLogger passes what tus logs on, as details: each of its requests is also one of
// ours.
func tusLogger(log *slog.Logger) *tuslog.Logger { return tuslog.New(tusLog{log}) }

type tusLog struct{ log *slog.Logger }

func (t tusLog) Enabled(ctx context.Context, _ tuslog.Level) bool {
	return t.log.Enabled(ctx, slog.LevelDebug)
}

func (t tusLog) Handle(ctx context.Context, record tuslog.Record) error {
	attrs := make([]slog.Attr, 0, record.NumAttrs())
	record.Attrs(func(a tuslog.Attr) bool {
		attrs = append(attrs, slog.String(a.Key, a.Value.String()))
		return true
	})
	t.log.LogAttrs(ctx, slog.LevelDebug, "tus: "+record.Message, attrs...)
	return nil
}

func (t tusLog) WithAttrs(attrs []tuslog.Attr) tuslog.Handler {
	log := t.log
	for _, a := range attrs {
		log = log.With(a.Key, a.Value.String())
	}
	return tusLog{log}
}

func (t tusLog) WithGroup(name string) tuslog.Handler { return tusLog{t.log.WithGroup(name)} }
