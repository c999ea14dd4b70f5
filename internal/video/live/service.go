// Package live keeps streams: who may send to them, what is fetched for them, what
// state they are in, how they go, what is recorded of them, and where they play. The
// packages of flow speak the protocols, repair timestamps, make renditions, cut what
// viewers get and copy what is kept; live decides which of that, and when.
package live

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/event"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/peer"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// emitter is the bus, as far as streams need it.
type emitter interface {
	Emit(tx *store.Tx, e event.Event) error
	Announce(e event.Event) error
}

// Deps are what the service stands on. All fields must be set but ViewerURL and TLS.
type Deps struct {
	DB     *store.DB
	Bus    emitter
	Signer *guard.Signer
	Config Config
	Log    *slog.Logger

	Assets    Assets        // keep what is recorded
	Objects   blob.Store    // of assets
	Node      string        // of this process
	Folder    string        // a folder a stream lies below it
	ViewerURL string        // before /play and /embed; "" is relative
	SignedFor time.Duration // how long signed addresses hold unless asked
	// TLS has the certificate for what is encrypted; nil where there is none.
	TLS *tls.Config
	// Published is the prefix of the objects that viewers of an asset play, for streams
	// that play it as live.
	Published func(ctx context.Context, tenant, asset string) (prefix string, err error)
	// Tools finds ffmpeg, for streams of which renditions are made.
	Tools func(context.Context) (*ffmpeg.Tools, error)
	// Reach is a host and port as encoders elsewhere dial a listener of that address.
	Reach func(listener string) string
	// Room says that there is no room on the disk, or nil.
	Room func() error
	// Served counts bytes that viewers were sent. It must be quick.
	Served func(tenant string, bytes int64)
	// Answered counts an answer to a viewer who asks by HTTP. It must be quick.
	Answered func(bytes int64)
	// Watching is how many watch a stream by edges of the cloud; nil where there are none.
	Watching func(stream string) int
}

// Service keeps streams. New starts nothing; see [Service.Run].
type Service struct {
	Deps
	ids   id.Maker
	views viewCache
	crowd audiences

	traffic traffic

	mu        sync.Mutex
	listening map[string]string // by protocol: the address
	running   context.Context
	sessions  map[string]*session
	heads     map[string]time.Duration // how far the time of a stream has come that has no session
	work      sync.WaitGroup           // sessions and recordings

	recordMu  sync.Mutex
	recorders map[string]*recorder // by the asset
	clips     map[string]int       // by the stream: how many are made

	fetching fetching // sources
	kitchen  kitchen

	windowMu sync.Mutex
	windows  map[string]*streamWindow // that are open, or in use
	buffers  window.Buffers

	peers *peer.Server
}

// New returns a service.
func New(d Deps) *Service {
	s := &Service{
		Deps: d, listening: make(map[string]string), sessions: make(map[string]*session), heads: make(map[string]time.Duration), windows: make(map[string]*streamWindow),
		recorders: make(map[string]*recorder), clips: make(map[string]int),
	}
	s.fetching.running, s.fetching.wake = make(map[string]*fetch), make(chan struct{}, 1)
	s.kitchen.find = d.Tools
	s.crowd.edges = d.Watching
	s.peers = s.newPeers()
	return s
}

// context is that of what goes on beyond a request. It has ended where no streams are
// taken in, and when the server stops.
func (s *Service) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return ended
}

// listens notes where a protocol is listened for.
func (s *Service) listens(protocol, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening[protocol] = address
}

// ingestURL is what encoders of a protocol are told, without a key: what is configured,
// or where it is listened for; "" for nowhere.
func (s *Service) ingestURL(protocol, configured string) string {
	if configured != "" {
		return configured
	}
	s.mu.Lock()
	address := s.listening[protocol]
	s.mu.Unlock()
	if address == "" {
		return ""
	}
	return protocol + "://" + s.Reach(address) + "/live"
}

func (s *Service) rtmpURL() string { return s.ingestURL("rtmp", s.Config.RTMPURL) }

// create makes a stream and its key.
func (s *Service) create(ctx context.Context, r *stream) (key string, err error) {
	key = newKey()
	now := time.Now().UTC()
	r.ID, r.Key = s.ids.New("str"), hashKey(key)
	r.Status, r.Created, r.Updated, r.Rev = Idle, now, now, 1
	return key, s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := insertStream(tx, r); err != nil {
			return err
		}
		return s.emit(tx, r, event.StreamCreated)
	})
}

// change reads a stream, lets edit change it, and writes it with its event. The
// tenant "" is any. It returns what was written.
func (s *Service) change(ctx context.Context, tenant, id, kind string, edit func(r *stream) error) (*stream, error) {
	var changed *stream
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		r, err := findStream(tx, tenant, id)
		if err != nil {
			return err
		}
		if err := edit(r); err != nil {
			return err
		}
		r.Updated = time.Now().UTC()
		r.Rev++
		if err := saveStream(tx, r); err != nil {
			return err
		}
		changed = r
		tx.AfterCommit(func() { s.views.forget(id) })
		return s.emit(tx, r, kind)
	})
	return changed, err
}

func (s *Service) emit(tx *store.Tx, r *stream, kind string) error {
	data, err := json.Marshal(s.document(r))
	if err != nil {
		return err
	}
	return s.Bus.Emit(tx, event.Event{Type: kind, Tenant: r.Tenant, Data: data})
}

// longestGrace bounds how long an old key may go on letting encoders in.
const longestGrace = 7 * 24 * time.Hour

// rotate gives a stream another key. The one before lets encoders in for grace
// longer; who is on air stays there.
func (s *Service) rotate(ctx context.Context, tenant, id string, grace time.Duration, match func(rev int64) error) (r *stream, key string, err error) {
	key = newKey()
	r, err = s.change(ctx, tenant, id, event.StreamUpdated, func(r *stream) error {
		if err := match(r.Rev); err != nil {
			return err
		}
		r.OldKey, r.OldUntil = "", time.Time{}
		if grace > 0 {
			r.OldKey, r.OldUntil = r.Key, time.Now().Add(grace).UTC()
		}
		r.Key = hashKey(key)
		return nil
	})
	return r, key, err
}

// remove deletes a stream: who sends is sent away, what viewers could go back to
// is removed.
func (s *Service) remove(ctx context.Context, tenant, id string, match func(rev int64) error) error {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		r, err := findStream(tx, tenant, id)
		if err != nil {
			return err
		}
		if err := match(r.Rev); err != nil {
			return err
		}
		if err := deleteStream(tx, id); err != nil {
			return err
		}
		r.Status, r.LiveSince = Ended, time.Time{}
		tx.AfterCommit(func() { s.views.forget(id) })
		return s.emit(tx, r, event.StreamDeleted)
	})
	if err != nil {
		return err
	}
	s.Log.Info("stream is deleted", "stream", id, "tenant", tenant)
	s.unfetch(id)
	live := s.current(id)
	if live != nil {
		live.stop("the stream was deleted")
		select {
		case <-live.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.forgetDeleted(ctx, id)
}

// setStatus writes where a stream is. A stream that is gone has no state.
func (s *Service) setStatus(ctx context.Context, id string, to Status) error {
	kind := event.StreamUpdated
	switch to {
	case Live:
		kind = event.StreamLive
	case Reconnecting:
		kind = event.StreamReconnecting
	case Idle:
		kind = event.StreamIdle
	}
	_, err := s.change(ctx, "", id, kind, func(r *stream) error {
		r.Status, r.Node = to, s.Node
		switch {
		case to == Idle:
			r.LiveSince = time.Time{}
		case to == Live && r.LiveSince.IsZero():
			r.LiveSince = time.Now().UTC()
		}
		return nil
	})
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// admit finds the stream that a key is for. A wrong key is forbidden, and so is one
// that is no more.
func (s *Service) admit(ctx context.Context, key string) (*stream, error) {
	hash := hashKey(key)
	var found *stream
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		found = nil
		list, err := findByKey(tx, hash)
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.admits(hash, time.Now()) {
				found = r
			}
		}
		return nil
	})
	if err == nil && found == nil {
		err = fault.New(fault.Forbidden, "no stream has this key; copy the key of a stream, or make a new one")
	}
	return found, err
}

// unfinished lists the streams that were on air on this node.
func (s *Service) unfinished(ctx context.Context) (list []*stream, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list, err = queryStreams(tx, `WHERE node = ? AND status <> ?`, s.Node, Idle)
		return err
	})
	return list, err
}
