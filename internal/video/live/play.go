package live

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

const allowedMethods = "GET, HEAD, OPTIONS"

// Play serves /play/[~token/]<stream>/<file>: GET, HEAD and OPTIONS, byte ranges,
// reads from pages of any origin; and WHEP below the name "whep". A request for a
// playlist may wait for what it asks for (rfc8216bis 6.2.5.2), and so may one for a part that was announced. It
// must not be behind a wrapped ResponseWriter, so that segments leave by sendfile.
//
// Addresses are the same for every viewer, and what is answered says how long a
// cache may keep it, so that any cache in front serves all but the first of them.
func (s *Service) Play() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := parseTarget(r.URL.Path); ok {
			if session, ok := whepSession(t.file); ok {
				s.peers.ServeWHEP(w, r, t.stream, t.token, session)
				return
			}
		}
		allowAnyOrigin(w.Header())
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			s.play(w, r)
		case http.MethodOptions:
			h := w.Header()
			h.Set("Allow", allowedMethods)
			h.Set("Access-Control-Allow-Methods", allowedMethods)
			h.Set("Access-Control-Allow-Headers", "If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range")
			h.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", allowedMethods)
			http.Error(w, "only "+allowedMethods+" are answered here", http.StatusMethodNotAllowed)
		}
	})
}

// allowAnyOrigin lets pages of every origin read the answer, its length, its
// range and its timing. No credentials are involved.
func allowAnyOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, Date, ETag, Last-Modified")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Timing-Allow-Origin", "*")
}

// Plays reports whether the path of a request below /play names a stream.
func Plays(path string) bool {
	_, ok := parseTarget(path)
	return ok
}

// target is what the path of a request names.
type target struct {
	token, stream, file string
}

// parseTarget reads /play/[~token/]<stream>[/<file>].
func parseTarget(path string) (target, bool) {
	var t target
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/play"), "/")
	if rest, signed := strings.CutPrefix(path, "~"); signed {
		t.token, path, _ = strings.Cut(rest, "/")
	}
	t.stream, t.file, _ = strings.Cut(path, "/")
	return t, id.Valid("str", t.stream)
}

const (
	masterName   = "master.m3u8"
	playlistName = "media.m3u8"
	keysName     = "keys.m3u8" // of key frames alone
	manifestName = "manifest.mpd"
	manifestType = "application/dash+xml"
	playlistType = "application/vnd.apple.mpegurl"
)

func (s *Service) play(w http.ResponseWriter, r *http.Request) {
	t, ok := parseTarget(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, "no such file")
		return
	}
	v, err := s.view(r.Context(), t)
	if err == nil {
		if guard.Relay(r, w.Header(), v.tenant, t.stream) {
			v = &view{crowd: v.crowd, edge: true} // which counts its viewers, and what they get
		}
		err = s.answerPlay(w, r, t, v)
	}
	if err != nil {
		s.explain(w, r, t, err)
	}
}

// answerPlay answers with what t names, or returns why not.
func (s *Service) answerPlay(w http.ResponseWriter, r *http.Request, t target, v *view) error {
	group, done, err := s.findWindow(t.stream)
	if err != nil {
		return err
	}
	defer done()
	if !v.edge {
		v.crowd.asks(r, time.Now())
	}
	switch t.file {
	case masterName:
		answer, err := group.Master()
		return s.sendText(w, r, v, playlistType, answer, err)
	case manifestName:
		answer, err := group.Manifest()
		return s.sendText(w, r, v, manifestType, answer, err)
	case window.TimeName:
		tellTime(w)
		return nil
	}
	rendition, name, found := strings.Cut(t.file, "/")
	if !found || strings.Contains(name, "/") {
		return fault.New(fault.NotFound, "no such file")
	}
	if name == playlistName {
		q, err := parseQuery(r.URL.Query())
		if err != nil {
			return err
		}
		answer, err := group.Playlist(r.Context(), rendition, q)
		return s.sendText(w, r, v, playlistType, answer, err)
	}
	if name == keysName {
		answer, err := group.Keys(r.Context(), rendition)
		return s.sendText(w, r, v, playlistType, answer, err)
	}
	file, err := group.Open(r.Context(), rendition, name)
	if err != nil {
		return err
	}
	defer file.Close()
	if file.Grows != nil {
		return s.sendGrowing(w, r, v, file)
	}
	s.send(w, r, v, file.Type, file.Caching, file.Content)
	return nil
}

// send answers with content. What lies in memory goes out as it lies there, in one
// piece: that is what most requests of viewers at the edge are for.
func (s *Service) send(w http.ResponseWriter, r *http.Request, v *view, contentType string, c window.Caching, content io.ReadSeeker) {
	h := w.Header()
	describe(h, contentType, c)
	memory, ok := content.(io.WriterTo)
	if _, file := content.(*os.File); ok && !file && r.Method == http.MethodGet && r.Header.Get("Range") == "" {
		if size, err := sizeOf(content); err == nil {
			h.Set("Accept-Ranges", "bytes")
			h.Set("Content-Length", strconv.FormatInt(size, 10))
			n, _ := memory.WriteTo(w) // who does not get it has gone
			s.served(v.tenant, v.crowd, byHTTP, n)
			return
		}
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	if r.Method == http.MethodGet {
		s.served(v.tenant, v.crowd, byHTTP, sent(h, content))
	}
}

// describe says what an answer is, and how long it may be kept.
func describe(h http.Header, contentType string, c window.Caching) {
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cacheControl(c))
}

// sizeOf is how many bytes of content there are, from where it stands: its beginning.
func sizeOf(content io.Seeker) (int64, error) {
	size, err := content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	return size, err
}

// cacheControl says how long a cache may keep an answer. A signed address is part
// of the cache's key, so whoever has it may.
func cacheControl(c window.Caching) string {
	seconds := strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	if c.Immutable {
		return "public, max-age=" + seconds + ", immutable"
	}
	return "public, max-age=" + seconds
}

// sent is how many bytes of content went out: from where its first range began
// to where reading has come.
func sent(h http.Header, content io.Seeker) int64 {
	at, err := content.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	rest, found := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	if !found {
		return at
	}
	from, _, _ := strings.Cut(rest, "-")
	begin, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return 0
	}
	return max(0, at-begin)
}

// parseQuery reads the delivery directives (rfc8216bis 6.2.5).
func parseQuery(values url.Values) (window.Query, error) {
	q := window.Query{MSN: -1, Part: -1}
	for _, directive := range []struct {
		name string
		into *int64
	}{{"_HLS_msn", &q.MSN}, {"_HLS_part", &q.Part}} {
		text := values.Get(directive.name)
		if text == "" {
			continue
		}
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil || number < 0 {
			return q, fault.New(fault.Invalid, "%s has to be a whole number", directive.name)
		}
		*directive.into = number
	}
	if q.Part >= 0 && q.MSN < 0 {
		return q, fault.New(fault.Invalid, "_HLS_part needs _HLS_msn")
	}
	switch values.Get("_HLS_skip") {
	case "":
	case "YES", "v2":
		q.Skip = true
	default:
		return q, fault.New(fault.Invalid, "_HLS_skip is YES or v2")
	}
	return q, nil
}

// explain answers a viewer who gets nothing. Whether a stream exists that may not
// be played is not told.
func (s *Service) explain(w http.ResponseWriter, r *http.Request, t target, err error) {
	switch fault.CodeOf(err) {
	case fault.NotFound:
		refuse(w, http.StatusNotFound, "no such file")
	case fault.Forbidden:
		refuse(w, http.StatusForbidden, fault.Message(err))
	case fault.Invalid:
		refuse(w, http.StatusBadRequest, fault.Message(err))
	case fault.Unavailable:
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, fault.Message(err))
	default:
		if r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
			s.Log.Error("media was not served", "stream", t.stream, "file", t.file, "cause", err)
		}
		refuse(w, http.StatusInternalServerError, "this could not be read")
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

// view is what playing a stream needs of its record.
type view struct {
	tenant string // that what is sent is counted for; "" for none
	policy Policy
	crowd  *audience
	until  time.Time // when it is read anew
	edge   bool      // it is an edge that asks
}

// view returns the stream that t names, if it may be played.
func (s *Service) view(ctx context.Context, t target) (*view, error) {
	now := time.Now()
	if t.token != "" {
		if err := s.Signer.Verify(t.token, t.stream, now); err != nil {
			return nil, err
		}
	}
	v := s.views.get(t.stream, now)
	if v == nil {
		err := s.DB.Read(ctx, func(tx *store.Tx) error {
			r, err := findStream(tx, "", t.stream)
			if err == nil {
				v = &view{tenant: r.Tenant, policy: r.Policy, crowd: s.crowd.find(r.ID), until: now.Add(viewFor)}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		s.views.put(t.stream, v)
	}
	if v.policy == Signed && t.token == "" {
		return nil, fault.New(fault.Forbidden, "this stream needs a signed address; ask its owner for one")
	}
	return v, nil
}

// viewCache saves a read of the store a request. What this process changes is
// forgotten at once; what another one changes shows within viewFor.
type viewCache struct {
	mu    sync.RWMutex
	known map[string]*view
}

const (
	viewFor   = 3 * time.Second
	viewLimit = 10_000
)

func (c *viewCache) get(stream string, now time.Time) *view {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if v := c.known[stream]; v != nil && now.Before(v.until) {
		return v
	}
	return nil
}

func (c *viewCache) put(stream string, v *view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= viewLimit {
		c.known = make(map[string]*view)
	}
	c.known[stream] = v
}

func (c *viewCache) forget(stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, stream)
}
