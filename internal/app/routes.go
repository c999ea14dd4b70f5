package app

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/edge/route"
)

// routes send viewers to edges.
type routes struct {
	scheduler route.Scheduler
	router    *route.Router
}

// newRoutes makes routes that know no edges. Regions is a file of networks, or "".
func newRoutes(regions string) (*routes, error) {
	r := &routes{}
	r.router = &route.Router{Scheduler: &r.scheduler}
	if regions == "" {
		return r, nil
	}
	text, err := os.ReadFile(regions)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "edge.regions: %s cannot be read", regions)
	}
	prefixes, err := route.ParsePrefixes(text)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "edge.regions: %s: %v", regions, err)
	}
	r.scheduler.SetPrefixes(prefixes)
	return r, nil
}

// routed reports whether a path is one of a router.
func routed(path string) bool {
	return strings.HasPrefix(path, route.RedirectPath) || path == route.SteerHLSPath || path == route.SteerDASHPath
}

// learn takes which edges there are and how they are. Of is who knows it.
func (r *routes) learn(nodes func(id string) (edge.Place, bool), are edge.Presence, further ...route.Node) error {
	now := time.Now()
	list := further
	for _, p := range are.Edges {
		place, ok := nodes(p.ID)
		address, err := url.Parse(place.URL)
		if !ok || err != nil || place.URL == "" {
			continue
		}
		list = append(list, route.Node{
			ID: p.ID, Name: place.Name, URL: address, Region: place.Region, Capacity: place.Capacity, Egress: p.Egress, Load: p.Load,
			State: route.Ready, Seen: now.Add(-time.Duration(p.Away * float64(time.Second))),
		})
	}
	return r.scheduler.SetNodes(list)
}

// tellEvery is how often control nodes tell how edges are.
const tellEvery = 2 * time.Second

// runRoutes keeps the routes of a control node up to date, and tells edges how they all
// are, so that they can send viewers as well.
func (n *serving) runRoutes(c *control, r *routes) func(context.Context, func()) error {
	var own []route.Node // where no edge is, viewers come here
	if address, err := url.Parse(n.Config.Viewer.URL); err == nil && n.Config.Viewer.URL != "" {
		address.Path = strings.TrimSuffix(strings.TrimSuffix(address.Path, "/"), strings.TrimSuffix(route.RedirectPath, "/"))
		own = []route.Node{{ID: "control", Name: n.Name, URL: address, State: route.Draining}}
	}
	return func(ctx context.Context, ready func()) error {
		ready()
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			list, are, err := c.sites.Edges(ctx)
			if err == nil {
				for i := range are.Edges {
					if c.bus.Left(are.Edges[i].ID) { // it need not be waited for
						are.Edges[i].Away = math.MaxInt32
					}
				}
				places := make(map[string]edge.Place, len(list))
				for _, node := range list {
					places[node.ID] = node.Place
				}
				for i := range own {
					own[i].Seen = time.Now()
				}
				err = r.learn(func(id string) (edge.Place, bool) { p, ok := places[id]; return p, ok }, are, own...)
			}
			if err == nil && len(are.Edges) > 0 {
				err = c.bus.Publish(edge.SubjectPresent, are)
			}
			if err != nil && ctx.Err() == nil {
				n.Log.Debug("where viewers are sent is not up to date", "cause", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// present takes how all edges are. While control nodes do not say, what they said last
// holds: players find out by themselves which edge is gone.
func (e *edgeNode) present(are edge.Presence) {
	now := e.front.State()
	err := e.routes.learn(func(id string) (edge.Place, bool) {
		if node := now.Nodes[id]; node != nil {
			return node.Place, true
		}
		return edge.Place{}, false
	}, are)
	if err != nil {
		e.log.Debug("where viewers are sent is not up to date", "cause", err)
	}
}

// largestManifest bounds a manifest to which steering is added.
const largestManifest = 4 << 20

// mostElsewhere is how many other edges a manifest names. Steering knows more.
const mostElsewhere = 2

// steers reports whether a request is for a manifest that tells players of other edges.
func (e *edgeNode) steers(r *http.Request) bool {
	name := path.Base(r.URL.Path)
	return e.config.URL != "" && r.Method == http.MethodGet && (name == "master.m3u8" || name == "manifest.mpd")
}

// serveSteered answers with a manifest that says where its players are steered from. It is
// stored as it came: each edge names itself.
func (e *edgeNode) serveSteered(w http.ResponseWriter, r, asked *http.Request) {
	plain := *asked
	plain.Header = asked.Header.Clone()
	for _, name := range []string{"Accept-Encoding", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		plain.Header.Del(name)
	}
	whole := &capture{w: w}
	e.answer(whole, &plain, e.cloud, e.cloud.viewers)
	text := whole.text.Bytes()
	if whole.status == http.StatusOK && !whole.passing {
		if steered, err := e.steered(r, text); err == nil {
			text = steered
			h := w.Header()
			h.Set("Content-Length", strconv.Itoa(len(text)))
			h.Del("ETag") // it is of what is stored
			h.Del("Accept-Ranges")
		} else {
			e.log.Debug("a manifest is served without steering", "path", r.URL.Path, "cause", err)
		}
	}
	whole.finish(text)
}

// steered adds steering to a manifest.
func (e *edgeNode) steered(r *http.Request, text []byte) ([]byte, error) {
	query := route.SteeringQuery(e.who.id(), strings.TrimPrefix(r.URL.Path, "/"))
	if path.Base(r.URL.Path) == "master.m3u8" {
		return hls.AppendSteered(nil, text, route.SteerHLSPath+query)
	}
	base, err := url.Parse(strings.TrimSuffix(e.config.URL, "/"))
	if err != nil {
		return nil, err
	}
	own := base.String()
	base.Path, base.RawQuery = r.URL.Path, r.URL.RawQuery
	steering := dash.Steering{Server: own + route.SteerDASHPath + query, Self: base}
	for _, other := range e.routes.router.Elsewhere(r, e.who.id(), mostElsewhere) {
		steering.Others = append(steering.Others, dash.Place(other))
	}
	return dash.AppendSteered(nil, text, steering)
}

// capture holds an answer back until it is whole, if it is small. It is for manifests that
// players ask for once; media never comes this way.
type capture struct {
	w       http.ResponseWriter
	status  int
	text    bytes.Buffer
	passing bool // it was too large, and is let through
}

// Header is that of the answer.
func (c *capture) Header() http.Header { return c.w.Header() }

// WriteHeader notes the status.
func (c *capture) WriteHeader(status int) {
	if status < http.StatusOK { // it is told before the answer
		c.w.WriteHeader(status)
		return
	}
	c.status = status
}

// Write keeps what is written.
func (c *capture) Write(p []byte) (int, error) {
	if !c.passing && c.text.Len()+len(p) > largestManifest {
		c.passing = true
		c.w.WriteHeader(c.status)
		if _, err := c.w.Write(c.text.Bytes()); err != nil {
			return 0, err
		}
		c.text.Reset()
	}
	if c.passing {
		return c.w.Write(p)
	}
	return c.text.Write(p)
}

// Flush does nothing: what is kept is flushed when it is whole.
func (c *capture) Flush() {}

// finish answers with text, unless the answer was let through.
func (c *capture) finish(text []byte) {
	if c.passing {
		return
	}
	if c.status != 0 {
		c.w.WriteHeader(c.status)
	}
	_, _ = c.w.Write(text) // who does not get it has gone
}
