package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/console"
	"liuyun/internal/contract/edge"
	"liuyun/internal/control/cert"
	"liuyun/internal/control/node"
	"liuyun/internal/edge/cache"
	"liuyun/internal/edge/front"
	"liuyun/internal/edge/origin"
	"liuyun/internal/edge/rule"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/dial"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/obs"
	"liuyun/internal/video/live"
)

// edgeNode is an edge of a cloud: what its parts share.
type edgeNode struct {
	config     EdgeConfig
	who        *self
	log        *slog.Logger
	cache      *cache.Cache
	front      *front.Front
	transports *origin.Transports // to the origins of sites
	compressor *rule.Compressor
	shields    *shields
	cloud      *edgeSite
	routes     *routes      // nil where a control node has its own
	pages      http.Handler // for pages that show a film or a stream
	signer     atomic.Pointer[guard.Signer]
	// certificates are those of sites, beside the listener's own; nil where it shows none.
	certificates *guard.SiteCertificates
	held         chan struct{} // has room for those who wait for an origin that is away
	// What was asked elsewhere.
	askedOrigins, askedShields atomic.Int64

	mu    sync.Mutex
	sites map[string]*edgeSite
}

// mostCompressing bounds the bodies that are compressed at once. Above it they stay as they are.
const mostCompressing = 64

// mostHeld bounds the requests that wait for origins that are away, see [origin.Hold].
const mostHeld = 512

// newEdgeNode makes an edge. What it is made of is closed with the node. Own answers for
// hosts that no site has; nil is the edge's own way to films and streams of its cloud.
func (n *serving) newEdgeNode(who *self, b *bus.Bus, c *cache.Cache, agent *node.Agent, own http.Handler) (*edgeNode, error) {
	allowed, err := dial.New(n.Config.Edge.Allow)
	if err != nil {
		return nil, err
	}
	e := &edgeNode{
		config: n.Config.Edge, who: who, log: n.Log, cache: c, transports: origin.NewTransports(allowed.DialContext),
		compressor: rule.NewCompressor(mostCompressing), shields: newShields(who), pages: console.Embed(), sites: make(map[string]*edgeSite), held: make(chan struct{}, mostHeld),
	}
	place := edge.Place{Name: n.Name, Region: e.config.Region, URL: strings.TrimSuffix(e.config.URL, "/"), Capacity: int64(e.config.Capacity) * 1_000_000}
	if e.config.ShieldListen != "" {
		place.Shield = n.reachableAs(e.config.ShieldListen)
	}
	if err := os.MkdirAll(n.data.Join(edgeFolder), 0o700); err != nil {
		return nil, explainFolder(err, n.data.Path())
	}
	seal, err := guard.OpenSeal(n.data.Join(edgeFolder, "seal.key"))
	if err != nil {
		return nil, err
	}
	var present func(edge.Presence)
	if own == nil {
		own, present = http.HandlerFunc(e.serveCloud), e.present
		if e.routes, err = newRoutes(e.config.Regions); err != nil {
			return nil, err
		}
	}
	e.front = front.New(front.Deps{
		Node: who.id(), Place: place, Folder: n.data.Join(edgeFolder), Bus: b, Seal: seal, Log: n.Log,
		Open: e.open, Cloud: own, Purge: e.purge, Changed: e.learn, Present: present,
		Load: func() float64 { return agent.Last().Load }, Stored: c.Stored, Owned: c.Owned, Waiting: c.Waiting, Origins: e.origins,
	})
	if err := n.secureSites(e, b); err != nil {
		return nil, err
	}
	films := edge.Site{ID: edge.Cloud, Settings: edge.Settings{
		Origins:    []edge.Origin{{URL: "https://" + guard.ControlName}},
		DefaultTTL: int(e.config.DefaultTTL / time.Second), StaleIfError: int(e.config.StaleIfError / time.Second),
	}}
	if e.cloud, err = e.openSite(films, origin.NewTransports(who.dialControl), who); err != nil {
		return nil, err
	}
	n.onClose(e.cloud.Close)
	return e, nil
}

// learn takes what control nodes have told.
func (e *edgeNode) learn(now *front.State) {
	if len(now.Secrets) > 0 {
		e.signer.Store(guard.NewSigner(now.Secrets[0], now.Secrets[1:]...))
	}
	e.shields.learn(now)
	e.certify(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sites {
		e.setPeers(s)
	}
	e.setPeers(e.cloud)
}

// certify has the certificates of sites shown that are known now.
func (e *edgeNode) certify(now *front.State) {
	if e.certificates == nil {
		return
	}
	var names []string
	var uploaded []guard.UploadedPair
	for _, site := range now.Sites {
		switch {
		case site.Disabled:
		case site.TLS == "acme":
			names = append(names, site.Hosts...)
		case site.TLS == "uploaded":
			uploaded = append(uploaded, guard.UploadedPair{Hosts: site.Hosts, Certificate: site.Certificate, Key: site.Key})
		}
	}
	if err := errors.Join(e.certificates.SetUploaded(uploaded), e.certificates.Manage(names)); err != nil {
		e.log.Warn("some certificates of sites are not shown", "cause", err)
	}
}

// secureSites has the listener of viewers show certificates of sites, where it shows any.
func (n *serving) secureSites(e *edgeNode, b *bus.Bus) (err error) {
	if n.security.config == nil && n.TLS.Mode != TLSSites {
		return nil // no authority that calls would be answered here
	}
	client := cert.NewClient(b)
	options := guard.SiteOptions{
		Storage: guard.NewSharedStorage(client, client), Email: n.Config.ACME.Email, Directory: n.Config.ACME.Directory,
		Folder: n.data.Join(certsName, "sites"), Listen: n.Listen, Log: n.Log,
	}
	if own := n.security.config; own != nil {
		options.Fallback = own.GetCertificate
	}
	if e.certificates, err = guard.NewSiteCertificates(options); err != nil {
		return err
	}
	n.security.config = e.certificates.TLS()
	return nil
}

func (e *edgeNode) setPeers(s *edgeSite) {
	if err := s.tier.SetPeers(e.shields.peers()); err != nil {
		e.log.Warn("shields are not asked", "cause", err)
	}
}

// purge has the cache purge what control nodes say.
func (e *edgeNode) purge(list []edge.Purge) error {
	purges := make([]cache.Purge, 0, len(list))
	for _, p := range list {
		out := cache.Purge{Sequence: p.Revision, Site: p.Site, Kind: purgeKind(p.Kind), Value: p.Value}
		if p.Hard {
			out.Effect = cache.Forget
		}
		if err := out.Validate(); err != nil {
			e.log.Warn("all of a site is purged in place of what this edge does not understand", "site", p.Site, "cause", err)
			out.Kind, out.Value = cache.PurgeEverything, ""
		}
		purges = append(purges, out)
	}
	return e.cache.Purge(purges...)
}

// purgeKind is a kind of purge as the cache knows it. What it does not know is everything:
// more than is asked, never less.
func purgeKind(kind string) cache.PurgeKind {
	switch kind {
	case edge.PurgeURL:
		return cache.PurgeURL
	case edge.PurgePrefix:
		return cache.PurgePrefix
	case edge.PurgeTag:
		return cache.PurgeTag
	case edge.PurgeHost:
		return cache.PurgeHost
	}
	return cache.PurgeEverything
}

// edgeSite serves a site.
type edgeSite struct {
	node             *edgeNode
	id, tenant       string
	rules            *rule.Set
	pool             *origin.Pool
	tier             *origin.Tier
	viewers, shields *cache.Site
	stop             context.CancelFunc
	work             sync.WaitGroup
}

// open makes what serves a site of a tenant from now on.
func (e *edgeNode) open(site edge.Site) (front.Backend, error) {
	s, err := e.openSite(site, e.transports, nil)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.setPeers(s)
	e.sites[site.ID] = s
	return s, nil
}

// openSite makes what serves a site; its origins are asked as a node where one is given.
func (e *edgeNode) openSite(site edge.Site, through *origin.Transports, as *self) (*edgeSite, error) {
	rules, err := rule.Compile(site.Rules)
	if err != nil {
		return nil, err
	}
	options := origin.Options{Transports: through, Answer: e.config.AnswerTimeout, Log: e.log.With("site", site.ID), Health: healthOf(site.Health)}
	for _, o := range site.Origins {
		endpoint, err := endpointOf(o, as)
		if err != nil {
			return nil, err
		}
		options.Endpoints = append(options.Endpoints, endpoint)
	}
	pool, err := origin.New(options)
	if err != nil {
		return nil, err
	}
	s := &edgeSite{node: e, id: site.ID, tenant: site.Tenant, rules: rules, pool: pool}
	// Rules are applied where an origin is asked: what comes from a shield has them behind it.
	direct := &metered{rules.Transport(pool, e.compressor), site.ID, e.front, &e.askedOrigins}
	s.tier = origin.NewTier(origin.TierOptions{Peers: &metered{e.shields, site.ID, e.front, &e.askedShields}, Next: direct, Self: e.shields.self(e.config), Answer: e.config.AnswerTimeout, Log: options.Log})
	viewers := cache.Site{
		Name: site.ID, Owner: site.Tenant, Origin: &url.URL{Scheme: options.Endpoints[0].URL.Scheme, Host: options.Endpoints[0].URL.Host},
		Policy: cache.Policy{DefaultTTL: time.Duration(site.DefaultTTL) * time.Second, StaleIfError: time.Duration(site.StaleIfError) * time.Second},
	}
	var also func(*http.Request) bool
	if as != nil {
		viewers.CountFor, also = guard.TenantHeader, isPiece
	}
	shields := viewers
	viewers.Transport, viewers.Finish = origin.Hold{Next: s.tier, Also: also, Held: e.held}, rules.After
	// Who is asked by another edge asks no further one.
	shields.Transport, shields.Audience = direct, cache.Caches
	s.viewers, s.shields = &viewers, &shields
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() { pool.Run(ctx) })
	return s, nil
}

// isPiece reports whether a request is for media of a stream. It may have been announced,
// and is never there in an older form.
func isPiece(r *http.Request) bool {
	return live.Plays(r.URL.Path) && strings.HasSuffix(r.URL.Path, ".m4s")
}

// ServeHTTP answers a viewer of the site, or another edge.
func (s *edgeSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if asksForAnother(r) {
		s.node.answer(w, r, s, s.shields)
		return
	}
	began := time.Now()
	asked, answered := s.rules.Before(w, r)
	if answered != 0 { // it is sent elsewhere
		s.node.front.Note(s.id, front.Outcome{Status: answered, Cache: "pass", Tenant: s.tenant, Method: r.Method, Host: r.Host, Path: r.URL.Path, Client: r.RemoteAddr, Agent: r.UserAgent(), Duration: time.Since(began)})
		return
	}
	s.node.answer(w, asked, s, s.viewers)
}

// Close ends what goes on beside requests.
func (s *edgeSite) Close() error {
	s.stop()
	s.work.Wait()
	s.pool.Close()
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if s.node.sites[s.id] == s {
		delete(s.node.sites, s.id)
	}
	return nil
}

// answer has the cache answer, and counts that.
func (e *edgeNode) answer(w http.ResponseWriter, r *http.Request, s *edgeSite, as *cache.Site) {
	var got cache.Outcome
	if as.Audience == cache.Caches {
		e.cache.Serve(w, r, as, &got) // the other edge counts what its viewers get
		return
	}
	began := time.Now()
	defer func() { // also when the connection is aborted
		tenant := s.tenant
		if tenant == "" {
			tenant = got.For
		}
		e.front.Note(s.id, front.Outcome{
			Status: got.Status, Bytes: got.Bytes, Cache: got.By, Tenant: tenant,
			Method: r.Method, Host: r.Host, Path: r.URL.Path, Client: r.RemoteAddr, Agent: r.UserAgent(), Duration: time.Since(began),
		})
	}()
	e.cache.Serve(w, r, as, &got)
}

// serveCloud answers for hosts that no site has: with films and streams of the cloud.
func (e *edgeNode) serveCloud(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case asksForAnother(r) && r.Host != edge.CloudHost: // for a site that is new
		notHeard(w)
		return
	case strings.HasPrefix(path, "/play/"):
	case routed(path):
		e.routes.router.ServeHTTP(w, r)
		return
	case strings.HasPrefix(path, "/embed/"), path == "/embed.js":
		e.pages.ServeHTTP(w, r)
		return
	default:
		http.Error(w, "nothing is served under this name and path here", http.StatusNotFound)
		return
	}
	as := e.cloud.viewers
	asked := *r
	asked.Host = edge.CloudHost
	if asksForAnother(r) {
		as = e.cloud.shields
	} else if rest, signed := strings.CutPrefix(path, "/play/~"); signed {
		checked, err := e.check(rest)
		if err != nil {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Access-Control-Allow-Origin", "*")
			http.Error(w, fault.Message(err), http.StatusForbidden)
			return
		}
		u := *r.URL
		u.Path, u.RawPath = checked, ""
		asked.URL = &u
	}
	if as == e.cloud.viewers && e.steers(r) {
		e.serveSteered(w, r, &asked)
		return
	}
	e.answer(w, &asked, e.cloud, as)
}

// check verifies a token, and returns the path in which it is no more.
func (e *edgeNode) check(tokenAndRest string) (path string, err error) {
	token, rest, _ := strings.Cut(tokenAndRest, "/")
	of, _, _ := strings.Cut(rest, "/")
	signer := e.signer.Load()
	if signer == nil {
		return "", fault.New(fault.Unavailable, "this edge has not heard of the cloud yet; try again in a few seconds")
	}
	return "/play/" + checked + "/" + rest, signer.Verify(token, of, time.Now())
}

// origins says how origins look from here. Of those that nobody has asked nothing is said.
func (e *edgeNode) origins() map[string][]edge.OriginState {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string][]edge.OriginState, len(e.sites))
	for id, s := range e.sites {
		for _, o := range s.pool.Status() {
			if !o.Asked {
				continue
			}
			state := edge.OriginState{URL: o.URL, State: "up"}
			switch {
			case o.Breaker == origin.Open || !o.Healthy:
				state.State, state.Reason = "down", o.LastError
			case o.Breaker == origin.HalfOpen:
				state.State, state.Reason = "failing", o.LastError
			}
			all[id] = append(all[id], state)
		}
	}
	if e.certificates != nil {
		withoutCertificates(all, e.front.State().Sites, e.certificates.States())
	}
	return all
}

// withoutCertificates adds to what is said of sites for which of their names there is no
// certificate, or none that could be renewed, and why.
func withoutCertificates(all map[string][]edge.OriginState, sites map[string]*edge.Site, names []guard.CertificateState) {
	failed := make(map[string]guard.CertificateState)
	for _, c := range names {
		if c.Failure != "" {
			failed[c.Name] = c
		}
	}
	if len(failed) == 0 {
		return
	}
	for _, site := range sites {
		for _, host := range site.Hosts {
			c, ok := failed[strings.ToLower(host)]
			if !ok || site.TLS != "acme" || site.Disabled {
				continue
			}
			state := edge.OriginState{URL: "https://" + host, State: "down", Reason: "there is no certificate for this name: " + c.Failure}
			if !c.NotAfter.IsZero() {
				state.State = "failing"
				state.Reason = fmt.Sprintf("the certificate for this name ends on %s and is not renewed: %s", c.NotAfter.Format(time.DateOnly), c.Failure)
			}
			all[site.ID] = append(all[site.ID], state)
		}
	}
}

// buildEdgeOfCloud makes a node that is an edge of a cloud that it joined.
func (n *serving) buildEdgeOfCloud(ctx context.Context) error {
	who, err := n.whoAmI(ctx)
	if err != nil {
		return err
	}
	var e *edgeNode
	b, err := bus.New(bus.Options{
		Name: who.id(), URLs: who.known().Bus, TLS: who.identity.ClientTLS(), Log: n.Log, Reconnected: func() { e.front.Reconnected() },
	})
	if err != nil {
		return err
	}
	c, err := n.openCache()
	if err != nil {
		return err
	}
	if n.security, err = n.secure(nil); err != nil {
		return err
	}
	agent := n.agent(who, b)
	if e, err = n.newEdgeNode(who, b, c, agent, nil); err != nil {
		return err
	}
	// An edge serves what it knows while the control nodes are away: nothing waits for the bus.
	n.add("bus", func(ctx context.Context, ready func()) error { ready(); return b.Run(ctx, func() {}) }, nil)
	n.add("certificate", n.keepIdentity(who), nil)
	n.addEdge(e)
	n.add("heartbeat", agent.Run, nil)
	metrics := obs.NewRegistry()
	e.measure(metrics)
	n.addStatus(metrics)
	if err := n.addViewers(e.front, who.id()); err != nil {
		return err
	}
	if e.certificates != nil {
		n.add("certificates that are shown", e.certificates.Run, nil)
	}
	return nil
}

// measure tells what the edge does.
func (e *edgeNode) measure(m *obs.Registry) {
	e.cache.Measure(m)
	e.front.Measure(m)
	m.FuncBy("liuyun_edge_asked_total", "Requests with which this edge asked origins, the cloud among them, and shields.", "of", func() map[string]float64 {
		return map[string]float64{"origin": float64(e.askedOrigins.Load()), "shield": float64(e.askedShields.Load())}
	})
}

// addEdge adds what an edge does beside answering at the listener.
func (n *serving) addEdge(e *edgeNode) {
	n.add("configuration", e.front.Run, nil)
	if e.config.ShieldListen != "" {
		secure := guard.NodeTLS(e.who.identity.Server, e.who.identity.Pool())
		n.add("shield", n.listener(e.config.ShieldListen, secure, http.HandlerFunc(e.serveEdge), nil, func(net.Addr) {}), nil)
	}
	if plain := e.config.HTTPListen; plain != "" {
		n.add("plain listener", n.listener(plain, nil, e.front, n.edgeLane(e.front), func(net.Addr) {}), nil)
	}
}

// endpointOf is an origin as it is asked.
func endpointOf(o edge.Origin, as *self) (origin.Endpoint, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return origin.Endpoint{}, fmt.Errorf("origin: %w", err)
	}
	out := origin.Endpoint{URL: u, Weight: o.Weight, Backup: o.Backup, Host: o.Host}
	switch {
	case as != nil:
		out.TLS = as.identity.ClientTLS()
	case o.ClientCertificate != "" || o.CA != "":
		out.TLS, err = guard.OriginTLS(o.ClientCertificate, o.ClientKey, o.CA)
	}
	return out, err
}

func healthOf(h *edge.Health) *origin.Health {
	if h == nil {
		return nil
	}
	return &origin.Health{
		Path: h.Path, Every: time.Duration(h.Every) * time.Second, Timeout: time.Duration(h.Timeout) * time.Second, Unhealthy: h.Failures, Status: h.Status,
	}
}
