package origin

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
)

// Peer is another cache, which asks the origins in place of this one: a shield.
type Peer struct {
	ID  string   // by which all edges know it
	URL *url.URL // its scheme and host
}

// TierOptions are what a Tier is made of.
type TierOptions struct {
	Peers http.RoundTripper // asks peers; it does not decompress
	Next  http.RoundTripper // asks the origins, without a shield
	// Self is the ID of this cache where others ask it; empty where they do not. It asks
	// only shields that come before it, so that no two wait for each other.
	Self   string
	Answer time.Duration // until the head of a peer's answer, of all tries together; 0 is a minute
	Log    *slog.Logger  // nil for none
}

const (
	mostPeerTries = 2
	mostPeers     = 256
)

// Tier asks shields, each for its own part of what there is, so that one of them has what
// any edge has asked for before. Which one it is depends on X-Forwarded-Host, the path
// and the query, but for the directives of HLS ("_HLS_…"), which only say what of a
// playlist is wanted.
//
// A shield that cannot be reached, or that has no answer of an origin, is passed over:
// the next one is asked, and then Next. So is one that has many more requests than the
// others. What changes something goes by the first of them alone. What upgrades a connection
// goes to Next at once. What comes from a peer itself is not asked through a Tier at all.
//
// It may be used by several goroutines.
type Tier struct {
	asker
	via   http.RoundTripper
	next  http.RoundTripper
	self  string
	set   sync.Mutex // held while peers are replaced
	peers atomic.Pointer[[]*peer]
}

// peer is a shield as a target.
type peer struct {
	*target
	Peer
	seed uint64
}

// NewTier returns a Tier that knows no peers: all goes to Next until [Tier.SetPeers].
func NewTier(o TierOptions) *Tier {
	t := &Tier{via: o.Peers, next: o.Next, self: o.Self}
	t.configure(o.Answer, o.Log)
	t.fails = func(r *http.Response) bool { return unavailable(r.StatusCode) && !answered(r.Header) }
	t.peers.Store(new([]*peer))
	return t
}

// SetPeers replaces the peers. Of those that stay, by ID and URL, it is remembered how
// they do. The fault is invalid when one of them cannot be asked; then nothing changes.
func (t *Tier) SetPeers(peers []Peer) error {
	if len(peers) > mostPeers {
		return fault.New(fault.Invalid, "there are %d shields; %d is the most", len(peers), mostPeers)
	}
	t.set.Lock()
	defer t.set.Unlock()
	known := make(map[string]*peer)
	for _, p := range *t.peers.Load() {
		known[p.ID] = p
	}
	list := make([]*peer, 0, len(peers))
	taken := make(map[string]bool)
	for _, p := range peers {
		u := p.URL
		switch {
		case p.ID == "" || taken[p.ID]:
			return fault.New(fault.Invalid, "the name %q of a shield is empty, or that of another one", p.ID)
		case u == nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return fault.New(fault.Invalid, "the shield %s is at %q; write an address such as https://10.0.0.7:8443", p.ID, u)
		}
		taken[p.ID] = true
		is := &peer{Peer: p, seed: hashString(p.ID)}
		if was := known[p.ID]; was != nil && was.URL.Scheme == u.Scheme && was.URL.Host == u.Host {
			is.target = was.target
		} else {
			is.target = &target{name: p.ID, via: t.via, address: p.direct}
		}
		list = append(list, is)
	}
	t.peers.Store(&list)
	return nil
}

// direct makes a request one to this peer, which finds the site by the host that the
// viewer has asked for.
func (p Peer) direct(out *http.Request) {
	u := *out.URL
	u.Scheme, u.Host, u.User = p.URL.Scheme, p.URL.Host, nil
	out.URL, out.Host = &u, viewerHost(out)
}

func viewerHost(r *http.Request) string {
	if host := r.Header["X-Forwarded-Host"]; len(host) == 1 && host[0] != "" {
		return host[0]
	}
	return r.Host
}

// answered reports whether a cache says that it has its answer from an origin: by the
// last member of Cache-Status (RFC 9211), which is its own.
func answered(header http.Header) bool {
	lines := header["Cache-Status"]
	if len(lines) == 0 {
		return false
	}
	last := lines[len(lines)-1]
	last = last[strings.LastIndexByte(last, ',')+1:]
	for parameter := range strings.SplitSeq(last, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if name == "fwd-status" || name == "hit" {
			return true
		}
	}
	return false
}

// RoundTrip asks a shield, or Next.
func (t *Tier) RoundTrip(r *http.Request) (*http.Response, error) {
	peers := *t.peers.Load()
	if len(peers) == 0 || r.Header["Upgrade"] != nil {
		return t.next.RoundTrip(r)
	}
	q := newQuestion(r)
	q.key = keyOf(r)
	q.above = scoreOf(peers, t.self, q.key)
	if !q.repeatable {
		return t.change(q, peers)
	}
	second := func(q *question) (chosen, bool) { return pick(peers, q, time.Now(), proven) }
	for len(q.tried) < mostPeerTries && !t.over(q) {
		to, ok := pick(peers, q, time.Now(), hopeful)
		if !ok {
			break
		}
		got := t.ask(q, to, second)
		if t.answers(got) {
			return got.response, nil
		}
		got.close()
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		t.log.Debug("a shield has failed a request", "name", to.name, "cause", got.err)
	}
	return t.next.RoundTrip(r)
}

// change asks what may change something. It goes by the shield that has what is stored of
// it, so that this is void there too, and on to Next only when the shield has got nothing.
func (t *Tier) change(q *question, peers []*peer) (*http.Response, error) {
	to, ok := pick(peers, q, time.Now(), proven)
	if !ok {
		return t.next.RoundTrip(q.Request)
	}
	got := t.ask(q, to, nil)
	if got.err != nil && undialled(got.err) && q.body.whole() {
		if q.body != nil {
			q.Request = q.WithContext(q.Context())
			q.Body = q.body
		}
		got.response, got.err = t.next.RoundTrip(q.Request)
	}
	q.body.decide(got.err)
	return got.response, got.err
}
