package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	"liuyun/internal/control/account"
	"liuyun/internal/control/cert"
	"liuyun/internal/control/meter"
	"liuyun/internal/control/node"
	"liuyun/internal/control/notify"
	"liuyun/internal/control/sched"
	"liuyun/internal/control/site"
	"liuyun/internal/edge/front"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/obs"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
	"liuyun/internal/video/live"
	"liuyun/internal/video/transcode"
	"liuyun/internal/video/vod"
)

// control is the parts of a control node.
type control struct {
	db       *store.DB
	bus      *bus.Bus
	objects  blob.Backend
	jobs     *job.Queue
	accounts *account.Service
	usage    *meter.Service
	notices  *notify.Service
	nodes    *node.Service
	assets   *vod.Service
	uploads  *vod.Uploads
	streams  *live.Service
	sites    *site.Service
	routes   *routes
	films    http.Handler // and streams, for edges
	api      *web.API
	metrics  *obs.Registry
	log      *slog.Logger
	// front counts what this node answers, where it is an edge too; else nil.
	front *front.Front
}

// answered counts an answer with a film or a stream to a viewer of this node.
func (c *control) answered(bytes int64) {
	if c.front != nil && bytes > 0 {
		c.front.NoteOwn(bytes)
	}
}

// buildControlNode makes a node that keeps records, and encodes unless it is told
// not to.
func (n *serving) buildControlNode(ctx context.Context, who *self) error {
	nodeListen, busListen, err := n.nodeAddresses()
	if err != nil {
		return err
	}
	if who.joined() {
		if err := n.checkShared(who); err != nil {
			return err
		}
	}
	if n.security, err = n.secure(who); err != nil {
		return err
	}
	c, err := n.buildControl(ctx, who, nodeListen, busListen)
	if err != nil {
		return err
	}
	n.add("bus", c.bus.Run, c.bus.Healthy)
	n.add("certificate", n.keepIdentity(who), nil)
	n.add("outbox", c.bus.Relay(c.db), nil)
	n.add("accounts", func(ctx context.Context, ready func()) error {
		if err := c.accounts.Bootstrap(ctx, n.data.AdminKey()); err != nil {
			return err
		}
		return c.accounts.Run(ctx, ready)
	}, nil)
	n.add("usage", c.usage.Run, nil)
	n.add("assets", c.assets.Run, nil)
	n.add("uploads", c.uploads.Run, nil)
	n.addLive(c)
	n.add("webhooks", c.notices.Run, nil)
	n.add("queue", c.jobs.Run, nil)
	n.add("nodes", c.nodes.Run, nil)
	n.add("sites", c.sites.Run, nil)
	n.add("routes", n.runRoutes(c, c.routes), nil)
	n.add("certificates of sites", cert.New(cert.Deps{Records: c.db, Messages: c.bus, Log: n.Log}).Run, nil)
	if nodeListen != "" {
		secure := guard.NodeTLS(who.server(), who.identity.Pool())
		n.add("node listener", n.listener(nodeListen, secure, c.nodes.Handler(), nil, func(net.Addr) {}), nil)
	}
	agent := n.agent(who, c.bus)
	if err := n.addWork(ctx, who, c.bus, c.objects, agent); err != nil {
		return err
	}
	serve := n.handler(c)
	if !slices.Contains(n.Roles, RoleEdge) {
		n.addListener(c, who, serve)
		return nil
	}
	store, err := n.openCache()
	if err != nil {
		return err
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !asksForAnother(r):
			serve.ServeHTTP(w, r)
		case r.Host != edge.CloudHost: // for a site that is new
			notHeard(w)
		default:
			c.films.ServeHTTP(w, r)
		}
	})
	e, err := n.newEdgeNode(who, c.bus, store, agent, own)
	if err != nil {
		return err
	}
	c.front = e.front
	e.measure(c.metrics)
	n.addEdge(e)
	n.addListener(c, who, e.front)
	if e.certificates != nil {
		n.add("certificates that are shown", e.certificates.Run, nil)
	}
	return nil
}

// buildControl opens the records and makes the services that keep them.
func (n *serving) buildControl(ctx context.Context, who *self, nodeListen, busListen string) (*control, error) {
	c := &control{metrics: obs.NewRegistry(), log: n.Log}
	var err error
	if c.routes, err = newRoutes(n.Config.Edge.Regions); err != nil {
		return nil, err
	}
	if c.db, err = store.Open(ctx, n.data.Join(storeName), n.Config.Store, n.Log); err != nil {
		return nil, err
	}
	n.onClose(c.db.Close)
	if err := c.db.Migrate(ctx, migrations()...); err != nil {
		return nil, err
	}
	if c.objects, err = n.openObjects(ctx, who); err != nil {
		return nil, err
	}
	settings := n.Config.Bus
	settings.Listen = busListen
	options := bus.Options{Name: who.id(), Folder: n.data.Join(busName), Config: settings, Log: n.Log}
	options.Admit = c.admit
	options.Peer = func(ctx context.Context, state *tls.ConnectionState) error { return c.nodes.AdmitPeer(ctx, state) }
	if busListen != "" || settings.Cluster.Listen != "" {
		options.TLS = who.busTLS()
	}
	if c.bus, err = bus.New(options); err != nil {
		return nil, err
	}
	if err := n.buildServices(ctx, c, who, nodeListen, busListen); err != nil {
		return nil, err
	}
	if err := n.register(ctx, c.nodes, who); err != nil {
		return nil, err
	}
	c.api = web.New(web.Options{
		Title: "Liuyun", Version: n.Version, Authenticate: c.accounts.Authenticate, Headers: account.Headers(), Idempotency: c.accounts.Idempotency(), Metrics: c.metrics, Log: n.Log,
	})
	for _, routes := range []func(*web.API){
		c.accounts.Routes, c.assets.Routes, c.uploads.Routes, c.streams.Routes, c.sites.Routes, sched.New(c.db, c.jobs).Routes, c.nodes.Routes, c.notices.Routes, c.usage.Routes,
	} {
		routes(c.api)
	}
	return c, nil
}

// buildServices makes the domains, each with what it needs of the others.
func (n *serving) buildServices(ctx context.Context, c *control, who *self, nodeListen, busListen string) (err error) {
	c.jobs = job.NewQueue(c.db, c.bus, n.Log)
	c.jobs.Place(job.Place{Peers: func() []job.Peer { return peers(c.nodes.Workers()) }, Patience: n.Config.Sched.Patience})
	c.accounts = account.New(account.Deps{DB: c.db, Log: n.Log, Version: n.Version, Holds: tenantHolds, Forget: forgetTenant})
	c.usage = meter.New(meter.Deps{DB: c.db, Log: n.Log, Stored: vod.Stored})
	if c.notices, err = notify.New(notify.Deps{DB: c.db, Bus: c.bus, Config: n.Config.Webhook, Authenticate: c.accounts.Authenticate, Log: n.Log}); err != nil {
		return err
	}
	secrets, err := vod.Secrets(ctx, c.db)
	if err != nil {
		return err
	}
	signer := guard.NewSigner(secrets[0], secrets[1:]...)
	c.films = c.media(signer)
	deps := node.Deps{Records: c.db, Messages: c.bus, CA: who.ca, Blob: blob.Handler(c.objects), Media: c.films, Expel: c.expel, Currency: n.Config.Sched.Currency, Log: n.Log}
	deps.Reach = func() node.Reach { return n.reach(who, nodeListen, busListen) }
	c.nodes = node.New(deps)
	c.sites = site.New(site.Deps{
		DB: c.db, Messages: c.bus, Secrets: secrets, Known: c.nodes.Admit, Served: c.usage.ServedOn, Authenticate: c.accounts.Authenticate, Log: n.Log,
		CheckRules: checkRules, CheckPair: checkPair, CheckManaged: guard.CheckManaged,
	})
	c.assets = vod.New(vod.Deps{
		DB: c.db, Bus: c.bus, Jobs: c.jobs, Blob: c.objects, Signer: signer,
		Viewer: n.Config.Viewer, Log: n.Log, Room: n.room, Prefer: n.Config.Sched.Prefer, Currency: n.Config.Sched.Currency,
		CheckOptions: c.checkOptions,
		Encoded: func(tx *store.Tx, tenant string, length time.Duration, cpu float64) error {
			return c.usage.Add(tx, tenant, meter.Usage{EncodedSeconds: length.Seconds(), CPUSeconds: cpu})
		},
		Received: func(tx *store.Tx, tenant string) error { return c.usage.Add(tx, tenant, meter.Usage{Uploads: 1}) },
		Served: func(tenant string, bytes int64) {
			c.usage.ServedBytes(tenant, bytes)
			c.answered(bytes)
		},
	})
	c.streams = n.buildLive(c, who, signer)
	c.uploads, err = vod.NewUploads(vod.UploadDeps{Assets: c.assets, Blob: c.objects, Config: n.Config.Upload, Show: c.assets.Show, Log: n.Log})
	return err
}

// checkOptions says what is wrong with the options of an encoding, and refuses hardware
// that no worker has: a job for it would wait for good.
func (c *control) checkOptions(o encode.Options) error {
	if _, err := transcode.ParseOptions(o); err != nil || !o.Hardware {
		return err
	}
	for _, w := range c.nodes.Workers() {
		if w.Figures != nil && slices.ContainsFunc(w.Figures.Hardware, func(e worker.Encoder) bool { return e.Used }) {
			return nil
		}
	}
	return fault.New(fault.Unavailable, "no worker has a hardware encoder that it may use; set worker.hardware on one that has, or leave hardware out")
}

// checkShared refuses what several control nodes cannot do: each must see the
// others' records, messages and objects.
func (n *serving) checkShared(who *self) error {
	switch {
	case n.Config.Store.URL == "":
		return fault.New(fault.Invalid, "several control nodes share their records in a PostgreSQL: set store.url on all of them")
	case n.Config.Bus.Cluster.Listen == "":
		return fault.New(fault.Invalid, "several control nodes share their messages: set bus.cluster_listen and bus.cluster_routes on all of them")
	case n.Config.Blob.URL == "" && who.known().Blob == anyControl:
		return fault.New(fault.Invalid, "the objects of this cloud lie on S3: set blob.url, blob.access_key and blob.secret_key as on the other control nodes")
	}
	return nil
}

// register tells the records of this control node.
func (n *serving) register(ctx context.Context, nodes *node.Service, who *self) error {
	if who.joined() {
		return nodes.Return(ctx, who.id())
	}
	return nodes.Register(ctx, who.id(), n.Name, n.Roles, n.Listen)
}

// anyControl is where objects are when every control node can read and write them.
const anyControl = "https://" + guard.ControlName + "/blob/"

// forgetTenant removes what the domains keep of a tenant without assets.
func forgetTenant(tx *store.Tx, tenant string) error {
	if err := notify.Forget(tx, tenant); err != nil {
		return err
	}
	return meter.Forget(tx, tenant)
}

// reach is how other machines reach this control node.
func (n *serving) reach(who *self, nodeListen, busListen string) node.Reach {
	r := node.Reach{Nodes: n.reachableAs(nodeListen)}
	for _, address := range n.reachableAs(busListen) {
		r.Bus = append(r.Bus, "tls://"+address)
	}
	switch {
	case n.Config.Blob.URL != "":
		r.Blob = anyControl
	case who.joined():
		r.Blob = who.known().Blob
	case len(r.Nodes) > 0:
		r.Blob = "https://" + r.Nodes[0] + "/blob/"
	}
	return r
}

// room says that the disk with the objects is full, or nil. S3 tells by itself.
func (n *serving) room() error {
	if n.Config.Blob.URL != "" {
		return nil
	}
	return n.Config.Blob.Reserve(n.data.Path()).CheckRoom(0)
}

// openObjects opens the store of objects: S3 where it is configured, else the
// data folder of the first control node.
func (n *serving) openObjects(ctx context.Context, who *self) (blob.Backend, error) {
	if n.Config.Blob.URL == "" && who.joined() {
		return blob.NewRemote(who.known().Blob, who.blobClient()), nil
	}
	objects, err := blob.Open(ctx, n.Config.Blob, n.data.Join(blobName), n.data.Join(scratchName, "s3"))
	if err != nil {
		return nil, err
	}
	n.onClose(objects.Close)
	return objects, nil
}
