package route

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Paths that a Router answers.
const (
	RedirectPath  = "/route/"     // GET /route/<path of media>
	SteerHLSPath  = "/steer/hls"  // GET /steer/hls?node=<id>&content=<content>
	SteerDASHPath = "/steer/dash" // likewise
)

const (
	basePathway   = "." // what has no PATHWAY-ID is of this one
	steeringTTL   = 10  // seconds until a player asks again
	retryAfter    = "5" // seconds until somebody may be there
	longestParam  = 512
	maxAgeOptions = "86400"
)

// Router tells viewers where to go. Scheduler must be set.
type Router struct {
	Scheduler *Scheduler
	// Client says who a request comes from; nil: its RemoteAddr, as no header can be
	// believed of which nobody knows who wrote it.
	Client func(*http.Request) netip.Addr
	// Self is where players reach this router itself. With it, players whose first question
	// came by way of a node ask here from then on, also when that node has gone.
	Self *url.URL
}

// ServeHTTP answers what is below RedirectPath, SteerHLSPath and SteerDASHPath.
func (r *Router) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	h.Set("Cache-Control", "no-store")
	switch q.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Range")
		h.Set("Access-Control-Max-Age", maxAgeOptions)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "this address is only read", http.StatusMethodNotAllowed)
		return
	}
	path := q.URL.EscapedPath()
	switch media, below := strings.CutPrefix(path, RedirectPath); {
	case below && media != "":
		r.redirect(w, q, media)
	case path == SteerHLSPath:
		r.steer(w, q, hlsHost)
	case path == SteerDASHPath:
		r.steer(w, q, dashHost)
	default:
		http.NotFound(w, q)
	}
}

func (r *Router) client(q *http.Request) netip.Addr {
	if r.Client != nil {
		return r.Client(q)
	}
	return remoteAddr(q.RemoteAddr)
}

// redirect sends a viewer to the best node (RFC 9110, section 15.4.3).
func (r *Router) redirect(w http.ResponseWriter, q *http.Request, media string) {
	var buf [most]ranked
	found := r.Scheduler.rank(&buf, r.client(q), ContentOf(media))
	if len(found) == 0 {
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, "no node serves viewers now; try again", http.StatusServiceUnavailable)
		return
	}
	location := found[0].base + "/" + media
	if q.URL.RawQuery != "" {
		location += "?" + q.URL.RawQuery
	}
	w.Header().Set("Location", location)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
}

// Elsewhere is a node that has the same as another one.
type Elsewhere struct {
	ID  string
	URL *url.URL // of what was asked for
}

// Elsewhere returns where else a node's viewer finds what he asks the node for: the best
// first, n at most. Those differ from the node in their host alone, as what steering names
// does.
func (r *Router) Elsewhere(q *http.Request, id string, n int) (list []Elsewhere) {
	base, known := r.Scheduler.node(id)
	if !known {
		return nil
	}
	var buf [most]ranked
	for _, m := range r.Scheduler.rank(&buf, r.client(q), ContentOf(q.URL.Path)) {
		if m.ID == id || m.State != Ready || !alike(m.member, base) || len(list) == n {
			continue
		}
		u := *m.URL
		u.Path, u.RawPath, u.RawQuery = strings.TrimSuffix(u.Path, "/")+q.URL.Path, "", q.URL.RawQuery
		list = append(list, Elsewhere{m.ID, &u})
	}
	return list
}

// ContentOf is what a path of media is about, for the ranking: its first two elements, without
// those that begin with "~", which are tokens. All files of an asset or stream are one
// content, whoever asks.
func ContentOf(path string) string {
	var kept []string
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part[0] == '~' {
			continue
		}
		if kept = append(kept, part); len(kept) == 2 {
			break
		}
	}
	return strings.Join(kept, "/")
}

// SteeringQuery is what follows SteerHLSPath or SteerDASHPath in a manifest that a node
// serves: who the base pathway is, and what the manifest is about.
func SteeringQuery(node, path string) string {
	return "?node=" + url.QueryEscape(node) + "&content=" + url.QueryEscape(ContentOf(path))
}

// steering is a steering manifest (draft-pantos-hls-rfc8216bis, section 7.1; ETSI TS 103
// 998 has the same for DASH).
type steering struct {
	Version  int      `json:"VERSION"`
	TTL      int      `json:"TTL"`
	Reload   string   `json:"RELOAD-URI,omitempty"`
	Priority []string `json:"PATHWAY-PRIORITY"`
	Clones   []clone  `json:"PATHWAY-CLONES,omitempty"`
}

type clone struct {
	Base        string      `json:"BASE-ID"`
	ID          string      `json:"ID"`
	Replacement replacement `json:"URI-REPLACEMENT"`
}

type replacement struct {
	Host string `json:"HOST"`
}

// hlsHost is what takes the place of the host, and only of that: players keep the port.
func hlsHost(m *member) string {
	host := m.URL.Hostname()
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// dashHost has the port too: dash.js drops that of the base.
func dashHost(m *member) string { return m.URL.Host }

// steer answers a player that asks which pathways there are. The base pathway, ".", is
// the node that the manifest came from; the others are clones of it, by the IDs of their
// nodes. Only a host can be replaced, so nodes that differ from the base in scheme, port
// or path are left out.
func (r *Router) steer(w http.ResponseWriter, q *http.Request, hostOf func(*member) string) {
	query := q.URL.Query()
	content, id := query.Get("content"), query.Get("node")
	if len(content) > longestParam || !isPathway(id) {
		http.Error(w, "node and content have to be as the manifest names them", http.StatusBadRequest)
		return
	}
	var buf [most]ranked
	found := r.Scheduler.rank(&buf, r.client(q), content)
	base, known := r.Scheduler.node(id)
	out := steering{Version: 1, TTL: steeringTTL}
	if r.Self != nil {
		self := *r.Self
		self.Path, self.RawPath = q.URL.Path, q.URL.RawPath
		self.RawQuery = url.Values{"content": {content}, "node": {id}}.Encode()
		out.Reload = self.String()
	}
	for _, m := range stay(found, currentPathway(query), id) {
		if m.ID == id {
			out.Priority = append(out.Priority, basePathway)
		} else if known && alike(m.member, base) {
			out.Priority = append(out.Priority, m.ID)
			out.Clones = append(out.Clones, clone{basePathway, m.ID, replacement{hostOf(m.member)}})
		}
	}
	if len(out.Priority) == 0 {
		out.Priority = []string{basePathway}
	}
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// alike reports whether a's addresses are b's with another host.
func alike(a, b *member) bool {
	return a.URL.Scheme == b.URL.Scheme && a.port() == b.port() &&
		strings.TrimSuffix(a.URL.EscapedPath(), "/") == strings.TrimSuffix(b.URL.EscapedPath(), "/")
}

// stay puts the node that a viewer is on first, as long as it is as near as the best one,
// and as little full or draining: who is served well is not moved.
func stay(found []ranked, pathway, base string) []ranked {
	if pathway == basePathway {
		pathway = base
	}
	at := slices.IndexFunc(found, func(r ranked) bool { return r.ID == pathway })
	if at <= 0 {
		return found
	}
	if found[at].class/2 == found[0].class/2 { // classes come in pairs
		current := found[at]
		copy(found[1:at+1], found[:at])
		found[0] = current
	}
	return found
}

// currentPathway is the one that the player is on, or "". DASH players name all that they
// used since they last asked, in quotes: then nobody knows.
func currentPathway(query url.Values) string {
	if pathway := query.Get("_HLS_pathway"); pathway != "" {
		return pathway
	}
	used := strings.Split(strings.Trim(query.Get("_DASH_pathway"), `"`), ",")
	if used = slices.Compact(used); len(used) == 1 {
		return used[0]
	}
	return ""
}
