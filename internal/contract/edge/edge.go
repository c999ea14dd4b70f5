// Package edge is what control nodes and edges say to each other: what is served, what
// is not to be served any more, and how it goes.
package edge

import "time"

// The subjects on the bus. What an edge says is said on them in its own name: bus.From.
const (
	SubjectAsk     = "edge.ask"     // an edge asks what has changed: Ask, answered by Delta
	SubjectChanged = "edge.changed" // control nodes tell what has changed just now: Delta
	SubjectReport  = "edge.report"  // each edge tells how it goes: Report
	SubjectUsage   = "edge.usage"   // an edge hands over what it has served: Usage, answered when it is kept
	SubjectPresent = "edge.present" // control nodes tell every few seconds how edges are: Presence
	SubjectTail    = "edge.tail"    // somebody looks at requests: Tail
	SubjectSeen    = "edge.seen"    // and an edge shows some: Seen
)

// Site is what edges serve under some names, from some origins.
type Site struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// Revision is that of the change that made it what it is.
	Revision int64 `json:"revision"`
	Settings
	// Certificate is what an edge shows for the names, where it was uploaded: PEM.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
}

// Settings are what people say of a site.
type Settings struct {
	Name     string   `json:"name" minLength:"1" maxLength:"100"`
	Hosts    []string `json:"hosts" nullable:"false" minItems:"1" maxItems:"100" doc:"The names that viewers come by. *.example.org is every name one level below it."`
	Disabled bool     `json:"disabled,omitempty" doc:"Edges do not answer for it."`
	Origins  []Origin `json:"origins" nullable:"false" minItems:"1" maxItems:"16"`
	Health   *Health  `json:"health,omitempty" doc:"How origins are looked at; without it they are judged by their answers alone."`
	Rules    []Rule   `json:"rules,omitempty" nullable:"false" maxItems:"100" doc:"In their order. What several say, the last that fits says."`
	TLS      string   `json:"tls,omitempty" enum:"off,acme,uploaded" default:"off" doc:"Where the certificate of the names comes from: none, an authority by ACME, or an upload."`
	// DefaultTTL and StaleIfError are in seconds.
	DefaultTTL   int `json:"default_ttl,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds that a response is fresh that says nothing of it."`
	StaleIfError int `json:"stale_if_error,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds that a stale response is served while the origins fail."`
}

// Origin is a server that has what a site serves.
type Origin struct {
	URL    string `json:"url" maxLength:"2048" format:"uri" doc:"Scheme, host and the beginning of each path."`
	Weight int    `json:"weight,omitempty" minimum:"1" maximum:"1000" default:"1" doc:"Its share of the requests."`
	Backup bool   `json:"backup,omitempty" doc:"It is asked only while no other can be."`
	Host   string `json:"host,omitempty" maxLength:"255" doc:"The Host that it is asked by; that of the URL when absent."`
	// ClientCertificate and ClientKey are what an edge shows to the origin (mTLS); CA is
	// what vouches for the origin instead of public authorities. All are PEM.
	ClientCertificate string `json:"client_certificate,omitempty" maxLength:"32768" doc:"PEM that an edge shows to the origin."`
	ClientKey         string `json:"client_key,omitempty" maxLength:"32768" doc:"PEM; it is never shown again."`
	CA                string `json:"ca,omitempty" maxLength:"65536" doc:"PEM of the authority that vouches for the origin, instead of public ones."`
}

// Health is how an edge looks at the origins of a site.
type Health struct {
	Path     string `json:"path" maxLength:"2048" doc:"What is asked for."`
	Every    int    `json:"every,omitempty" minimum:"1" maximum:"3600" default:"10" doc:"Seconds."`
	Timeout  int    `json:"timeout,omitempty" minimum:"1" maximum:"60" default:"5" doc:"Seconds."`
	Status   int    `json:"status,omitempty" minimum:"200" maximum:"599" doc:"The status of a healthy answer; any from 200 to 299 when absent."`
	Failures int    `json:"failures,omitempty" minimum:"1" maximum:"20" default:"3" doc:"So many in a row, and it is not asked any more."`
}

// Rule says what is special about some paths of a site.
type Rule struct {
	Path string `json:"path" minLength:"1" maxLength:"1024" doc:"/images/* is all below it, *.jpg all that ends so; * stands for anything, also in the middle."`
	// TTL and BrowserTTL are in seconds.
	TTL        *int     `json:"ttl,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds that edges keep it, whatever the origin says; 0 is not at all."`
	BrowserTTL *int     `json:"browser_ttl,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds that browsers are told to keep it."`
	Query      string   `json:"query,omitempty" enum:"all,none,only,except" doc:"Which parameters of the query count: all, none, only those in parameters, or all but those. What does not count does not reach the origin."`
	Parameters []string `json:"parameters,omitempty" maxItems:"64" doc:"Names for query; utm_* is all that begin so."`
	Vary       []string `json:"vary,omitempty" maxItems:"8" doc:"Fields of the request that the answer depends on, beside what the origin says."`
	Request    []Field  `json:"request,omitempty" maxItems:"32" doc:"Fields that the origin is asked with."`
	Response   []Field  `json:"response,omitempty" maxItems:"32" doc:"Fields that viewers are answered with."`
	Redirect   string   `json:"redirect,omitempty" maxLength:"2048" doc:"Where viewers are sent instead. $host and $path are those of the request; $rest is what * stood for."`
	Status     int      `json:"status,omitempty" enum:"301,302,303,307,308" doc:"Of the redirect; 302 when absent."`
	Compress   *bool    `json:"compress,omitempty" doc:"Text is compressed for viewers who take it."`
}

// Field is a field of a head. An empty value removes it.
type Field struct {
	Name  string `json:"name" minLength:"1" maxLength:"100"`
	Value string `json:"value" maxLength:"4096"`
}

// Purge says what edges are not to serve as it is any more.
type Purge struct {
	Revision int64  `json:"revision"`
	Site     string `json:"site"` // Cloud for what the cloud itself serves; "" for all
	Kind     string `json:"kind"`
	Value    string `json:"value"`
	Hard     bool   `json:"hard"`
}

// The kinds of purges.
const (
	PurgeURL    = "url"
	PurgePrefix = "prefix"
	PurgeTag    = "tag"
	PurgeHost   = "host"
	PurgeAll    = "all"
)

// Cloud is the site of what the cloud itself serves: films and streams.
const Cloud = "cloud"

// CloudHost is the host that edges store films and streams by, whatever names they have
// themselves: so that shields have one copy for all.
const CloudHost = "cloud.liuyun.internal"

// Node is an edge as others see it.
type Node struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
	Place
}

// Place is what an edge says of itself, which seldom changes.
type Place struct {
	Name     string   `json:"name"`
	Region   string   `json:"region"`
	URL      string   `json:"url"`      // by which viewers reach it; "" where they are not sent to it
	Shield   []string `json:"shield"`   // host:port at which other edges ask it; none: they do not
	Capacity int64    `json:"capacity"` // bits a second that it can send; 0: not known
}

// Presence is how edges are that viewers are sent to.
type Presence struct {
	Edges []Present `json:"edges"`
}

// Present is how one of them is.
type Present struct {
	ID     string  `json:"id"`
	Away   float64 `json:"away"`   // seconds since it was heard of
	Load   float64 `json:"load"`   // part of the cores that is busy
	Egress int64   `json:"egress"` // bits a second to viewers
}

// Ask is an edge that asks what has changed. All up to Revision is applied there.
type Ask struct {
	Node     string `json:"node"`
	Revision int64  `json:"revision"`
	// Rest says that up to Revision it is only half of a whole answer: what follows is
	// asked for, even where nobody knows any more what has gone since.
	Rest bool `json:"rest,omitempty"`
	// Fresh says that nothing was ever applied: one purge of everything is as good as all
	// that there have been, since nothing is stored, or nothing that is known to be good.
	Fresh bool  `json:"fresh,omitempty"`
	Place Place `json:"place"`
}

// Delta is what has changed after From, up to Revision.
type Delta struct {
	From     int64    `json:"from"`
	Revision int64    `json:"revision"`
	Whole    bool     `json:"whole,omitempty"` // all there is follows; what was before is void
	More     bool     `json:"more,omitempty"`  // and more is to be asked for
	Sites    []Site   `json:"sites,omitempty"`
	Gone     []string `json:"gone,omitempty"` // ids of sites and nodes
	Purges   []Purge  `json:"purges,omitempty"`
	Nodes    []Node   `json:"nodes,omitempty"`
	// Sum is that of all sites and nodes, so that an edge notices what it missed.
	Sum uint64 `json:"sum"`
	// Secrets are what playback addresses are signed with, the newest first. Only an
	// answer has them.
	Secrets [][]byte `json:"secrets,omitempty"`
}

// Counts are what an edge has done since it told last.
type Counts struct {
	Requests int64            `json:"requests"`
	Hits     int64            `json:"hits"`             // answered from what is stored
	Bytes    int64            `json:"bytes"`            // sent to viewers
	Fetched  int64            `json:"fetched"`          // bytes that came from origins and shields
	Status   map[string]int64 `json:"status,omitempty"` // by 2xx, 3xx, 4xx, 5xx
	Paths    map[string]int64 `json:"paths,omitempty"`  // requests of the most asked for, about
}

// Report is what an edge tells every few seconds.
type Report struct {
	Node     string                   `json:"node"`
	Revision int64                    `json:"revision"` // that is applied
	At       time.Time                `json:"at"`
	Seconds  float64                  `json:"seconds"` // since the last one with counts; 0 in one without
	Place    Place                    `json:"place"`
	Load     float64                  `json:"load"` // part of the cores that is busy
	Stored   int64                    `json:"stored"`
	Waiting  int64                    `json:"waiting"`           // requests that wait for an origin
	Tenants  map[string]int64         `json:"tenants,omitempty"` // of Stored, of those that have most
	Viewers  map[string]int64         `json:"viewers,omitempty"` // who watch a stream, about, by its ID
	Sites    map[string]Counts        `json:"sites,omitempty"`
	Origins  map[string][]OriginState `json:"origins,omitempty"` // by site
}

// OriginState is how an origin looks from an edge, or why a name of the site cannot be
// served there by HTTPS.
type OriginState struct {
	URL    string `json:"url"`
	State  string `json:"state" enum:"up,failing,down"`
	Reason string `json:"reason,omitempty"`
}

// Usage is what an edge has served of tenants. It is counted once, however often it is
// handed over: Number grows with each.
type Usage struct {
	Node   string           `json:"node"`
	Number int64            `json:"number"`
	Day    string           `json:"day"`   // in UTC
	Bytes  map[string]int64 `json:"bytes"` // by tenant
}

// Tail has edges show requests of a site until a time.
type Tail struct {
	Site  string    `json:"site"`
	Until time.Time `json:"until"`
}

// Seen are requests that an edge was asked. Not all: it shows few a second.
type Seen struct {
	Node     string    `json:"node"`
	Site     string    `json:"site"`
	Requests []Request `json:"requests"`
}

// Request is one of them.
type Request struct {
	At      time.Time `json:"at"`
	Edge    string    `json:"edge" doc:"Name of the edge."`
	Client  string    `json:"client" doc:"Network of the viewer: the first three bytes of an IPv4 address, the first six of an IPv6 address."`
	Method  string    `json:"method"`
	Host    string    `json:"host"`
	Path    string    `json:"path"`
	Status  int       `json:"status"`
	Bytes   int64     `json:"bytes"`
	Seconds float64   `json:"seconds"`
	Cache   string    `json:"cache" doc:"hit, miss or pass."`
}
