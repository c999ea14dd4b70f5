package vod

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// Play serves /play/[~token/]<asset>/<file>: GET, HEAD and OPTIONS, byte ranges,
// conditional requests, reads from pages of any origin. It must not be behind a
// wrapped ResponseWriter, so that files leave by sendfile.
//
// Segments have the same bytes for as long as the asset lives; manifests change
// when subtitles are added.
func (s *Service) Play() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowAnyOrigin(w.Header())
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			s.play(w, r)
		case http.MethodOptions:
			answerOptions(w)
		default:
			w.Header().Set("Allow", allowedMethods)
			http.Error(w, "only "+allowedMethods+" are answered here", http.StatusMethodNotAllowed)
		}
	})
}

// target is what the path of a request for media names.
type target struct {
	token string
	asset string
	file  string // below the result; "" when the path ends with the asset
}

// parseTarget reads [~token/]<asset>[/<file>].
func parseTarget(path string) (target, bool) {
	var t target
	path = strings.TrimPrefix(path, "/")
	if rest, signed := strings.CutPrefix(path, "~"); signed {
		t.token, path, _ = strings.Cut(rest, "/")
	}
	t.asset, t.file, _ = strings.Cut(path, "/")
	return t, id.Valid("ast", t.asset) && (t.file == "" || servable(t.file))
}

// play hands out all of a result but its report, which is for its owner: it names the
// source and the machine.
func (s *Service) play(w http.ResponseWriter, r *http.Request) {
	t, ok := parseTarget(strings.TrimPrefix(r.URL.Path, "/play"))
	if !ok || t.file == "" || t.file == encode.ReportName {
		refuse(w, http.StatusNotFound, "no such file")
		return
	}
	v, err := s.view(r.Context(), t)
	if err != nil {
		s.explain(w, t, err)
		return
	}
	object, err := s.Blob.Open(r.Context(), v.prefix+t.file)
	if fault.CodeOf(err) == fault.NotFound && time.Until(v.until) < viewFor-viewFresh {
		// Another node may have put another result in its place since it was looked up.
		s.views.forget(t.asset)
		if v, err = s.view(r.Context(), t); err == nil {
			object, err = s.Blob.Open(r.Context(), v.prefix+t.file)
		}
	}
	if fault.CodeOf(err) == fault.NotFound && isManifest(t.file) {
		refuse(w, http.StatusNotFound, "the files of this video are not here; its operator has to bring them back from a backup")
		return
	}
	if err != nil {
		s.explain(w, t, err)
		return
	}
	defer object.Close()
	info := object.Info()
	h := w.Header()
	h.Set("Content-Type", contentType(t.file))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", v.cacheControl(t.file))
	h.Set("ETag", `"`+info.ETag+`"`)
	content := io.ReadSeeker(object)
	if file, ok := object.(blob.Filer); ok {
		content = file.File()
	}
	counted := guard.Relay(r, h, v.tenant, t.asset) // by an edge, what its viewers get
	http.ServeContent(w, withinRangeLimit(r), "", info.Modified, content)
	if r.Method == http.MethodGet && !counted {
		s.Served(v.tenant, sent(h, content))
	}
}

// isManifest reports whether a file is one that every asset has which is ready.
func isManifest(file string) bool { return file == "master.m3u8" || file == "manifest.mpd" }

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

// explain answers a viewer. Whether an asset exists that may not be played is
// not told.
func (s *Service) explain(w http.ResponseWriter, t target, err error) {
	switch fault.CodeOf(err) {
	case fault.NotFound:
		refuse(w, http.StatusNotFound, "no such file")
	case fault.Forbidden:
		refuse(w, http.StatusForbidden, fault.Message(err))
	case fault.Unavailable:
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, "try again in a moment")
	default:
		if !errors.Is(err, context.Canceled) {
			s.Log.Error("media was not served", "asset", t.asset, "file", t.file, "cause", err)
		}
		refuse(w, http.StatusInternalServerError, "this could not be read")
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

// view is what playing an asset needs.
type view struct {
	tenant string
	prefix string
	policy Policy
	until  time.Time // when it is read anew
}

// cacheControl lets caches keep what never changes under its address. A signed
// address is part of the cache's key, so whoever has it may.
func (v *view) cacheControl(name string) string {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "m4s", "mp4", "m4a", "jpg":
		return "public, max-age=31536000, immutable"
	}
	return "public, max-age=5"
}

// view returns the asset that t names, if it may be played.
func (s *Service) view(ctx context.Context, t target) (*view, error) {
	now := time.Now()
	if t.token != "" {
		if err := s.Signer.Verify(t.token, t.asset, now); err != nil {
			return nil, err
		}
	}
	v := s.views.get(t.asset, now)
	if v == nil {
		var err error
		if v, err = s.readView(ctx, t.asset); err != nil {
			return nil, err
		}
		v.until = now.Add(viewFor)
		s.views.put(t.asset, v)
	}
	if v.policy == Signed && t.token == "" {
		return nil, fault.New(fault.Forbidden, "this video needs a signed address; ask its owner for one")
	}
	return v, nil
}

func (s *Service) readView(ctx context.Context, id string) (*view, error) {
	var v *view
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, "", id)
		if err != nil {
			return err
		}
		if a.Status != Ready || a.Result == nil {
			return noAsset(id)
		}
		v = &view{tenant: a.Tenant, prefix: a.Result.Prefix, policy: a.Policy}
		return nil
	})
	return v, err
}

// viewCache saves a read of the store a request. What this process changes is
// forgotten at once; what another one changes shows within viewFor.
type viewCache struct {
	mu    sync.RWMutex
	known map[string]*view
}

const (
	viewFor   = 3 * time.Second
	viewFresh = 200 * time.Millisecond // a view so new is not looked up again for an absent file
	viewLimit = 10_000
)

func (c *viewCache) get(asset string, now time.Time) *view {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if v := c.known[asset]; v != nil && now.Before(v.until) {
		return v
	}
	return nil
}

func (c *viewCache) put(asset string, v *view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= viewLimit {
		c.known = make(map[string]*view)
	}
	c.known[asset] = v
}

func (c *viewCache) forget(asset string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, asset)
}
