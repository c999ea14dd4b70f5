package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// CloudSite is the id of what the cloud itself serves, films and streams. It is no
// site that can be read or changed; what edges keep of it can be purged, and its
// traffic and requests watched, with a key of scope admin.
const CloudSite = "cloud"

// Site is what edges serve under some names, from some origins.
type Site struct {
	ID string `json:"id"`
	SiteSettings
	Certificate *SiteCertificate `json:"certificate,omitempty"` // nil unless one was uploaded
	Rev         int64            `json:"rev"`                   // grows with each change
	CreatedAt   time.Time        `json:"created_at"`
	UpdatedAt   time.Time        `json:"updated_at"`
}

// SiteSettings are what people say of a site.
type SiteSettings struct {
	Name     string   `json:"name"`
	Hosts    []string `json:"hosts"`              // *.example.org is every name one level below it
	Disabled bool     `json:"disabled,omitempty"` // edges do not answer for it
	Origins  []Origin `json:"origins"`
	// Health is how origins are looked at; without it they are judged by their answers.
	Health *Health `json:"health,omitempty"`
	// Rules hold in their order: what several say, the last that fits says.
	Rules []Rule `json:"rules,omitempty"`
	// TLS is where the certificate comes from: off, acme or uploaded; "" is off.
	TLS          string `json:"tls,omitempty"`
	DefaultTTL   int    `json:"default_ttl,omitempty"`    // seconds that a response is fresh that says nothing of it
	StaleIfError int    `json:"stale_if_error,omitempty"` // seconds that a stale one is served while the origins fail
}

// Origin is a server that has what a site serves.
type Origin struct {
	URL    string `json:"url"`              // scheme, host and the beginning of each path
	Weight int    `json:"weight,omitempty"` // its share of the requests; 0 is 1
	Backup bool   `json:"backup,omitempty"` // it is asked only while no other can be
	Host   string `json:"host,omitempty"`   // what it is asked by; that of URL when empty
	// ClientCertificate and ClientKey are PEM that an edge shows to the origin. The key
	// is never shown: it stays what it was where it is left out and URL and certificate
	// are the same.
	ClientCertificate string `json:"client_certificate,omitempty"`
	ClientKey         string `json:"client_key,omitempty"`
	CA                string `json:"ca,omitempty"` // PEM of who vouches for the origin, instead of public authorities
}

// Health is how an edge looks at the origins of a site. What is 0 the server decides.
type Health struct {
	Path     string `json:"path"`
	Every    int    `json:"every,omitempty"`    // seconds
	Timeout  int    `json:"timeout,omitempty"`  // seconds
	Status   int    `json:"status,omitempty"`   // of a healthy answer; 0 is any from 200 to 299
	Failures int    `json:"failures,omitempty"` // so many in a row, and it is not asked any more
}

// Rule says what is special about some paths of a site. What is nil or empty it leaves
// as it is.
type Rule struct {
	Path       string        `json:"path"`                  // * stands for anything
	TTL        *int          `json:"ttl,omitempty"`         // seconds that edges keep it, whatever the origin says; 0 is not at all
	BrowserTTL *int          `json:"browser_ttl,omitempty"` // seconds that browsers are told to keep it
	Query      string        `json:"query,omitempty"`       // which parameters count: all, none, only or except Parameters
	Parameters []string      `json:"parameters,omitempty"`
	Vary       []string      `json:"vary,omitempty"`     // fields of the request that the answer depends on
	Request    []HeaderField `json:"request,omitempty"`  // what the origin is asked with
	Response   []HeaderField `json:"response,omitempty"` // what viewers are answered with
	Redirect   string        `json:"redirect,omitempty"` // where viewers are sent instead
	Status     int           `json:"status,omitempty"`   // of the redirect; 0 is 302
	Compress   *bool         `json:"compress,omitempty"` // text is compressed for viewers who take it
}

// HeaderField is a field of a head. An empty value removes it.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SiteCertificate is what of an uploaded certificate is shown.
type SiteCertificate struct {
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}

// Sites are the sites of a tenant. To read them needs the scope sites:read, to change
// and purge them sites:write.
type Sites struct{ c *Client }

const sitesPath = "/v1/sites"

// Create has edges serve a site. The error is a Conflict where another has a name.
func (s Sites) Create(ctx context.Context, settings SiteSettings) (r Site, err error) {
	return r, s.c.post(ctx, sitesPath, settings, &r)
}

// List yields the sites, newest first. It ends after the first error.
func (s Sites) List(ctx context.Context) iter.Seq2[Site, error] {
	return list[Site](ctx, s.c, sitesPath, nil)
}

// Get returns the site.
func (s Sites) Get(ctx context.Context, id string) (r Site, err error) {
	return r, s.c.get(ctx, at(sitesPath, id), nil, &r)
}

// Replace says anew all that is said of the site; an uploaded certificate stays. rev,
// when it is not 0, must be the site's, or nothing changes and the error is a Conflict.
func (s Sites) Replace(ctx context.Context, id string, settings SiteSettings, rev int64) (r Site, err error) {
	return r, s.c.do(ctx, call{method: http.MethodPut, path: at(sitesPath, id), rev: rev, in: settings, out: &r})
}

// Delete removes the site: edges do not answer for it any more.
func (s Sites) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(sitesPath, id))
}

// UploadCertificate gives the site a certificate with the chain behind it, and its key,
// both PEM. It makes the site's TLS uploaded.
func (s Sites) UploadCertificate(ctx context.Context, id string, certificate, key []byte) (r Site, err error) {
	in := struct {
		Certificate string `json:"certificate"`
		Key         string `json:"key"`
	}{string(certificate), string(key)}
	return r, s.c.do(ctx, call{method: http.MethodPut, path: at(sitesPath, id) + "/certificate", in: in, out: &r})
}

// PurgeKind is what the value of a purge names.
type PurgeKind string

// The kinds of purges.
const (
	PurgeURL    PurgeKind = "url"    // host/path?query
	PurgePrefix PurgeKind = "prefix" // host/path/
	PurgeTag    PurgeKind = "tag"    // one of Surrogate-Key or Cache-Tag
	PurgeHost   PurgeKind = "host"
	PurgeAll    PurgeKind = "all" // has no value
)

// NewPurge is what edges are not to serve as it is any more.
type NewPurge struct {
	Kind  PurgeKind `json:"kind"`
	Value string    `json:"value,omitempty"`
	// Hard forgets it. Otherwise the origin is asked whether it is still right, and it is
	// served while no origin answers.
	Hard bool `json:"hard,omitempty"`
}

// Purge is a purge and which edges have it.
type Purge struct {
	ID string `json:"id"`
	NewPurge
	CreatedAt time.Time `json:"created_at"`
	Status    string    `json:"status"`  // running, or done: all edges have it, those that are away too
	Edges     int       `json:"edges"`   // how many there are
	Done      int       `json:"done"`    // how many have it
	Waiting   []string  `json:"waiting"` // names of edges that are there and have not got it yet
	Away      []string  `json:"away"`    // names of edges that are not heard of; they purge when they come back
}

// Purge has edges purge what they stored of the site, and returns at once: see Waiting.
func (s Sites) Purge(ctx context.Context, id string, purge NewPurge) (p Purge, err error) {
	return p, s.c.post(ctx, at(sitesPath, id)+"/purges", purge, &p)
}

// Purges yields the last purges of the site, newest first. It ends after the first error.
func (s Sites) Purges(ctx context.Context, id string) iter.Seq2[Purge, error] {
	return list[Purge](ctx, s.c, at(sitesPath, id)+"/purges", nil)
}

// GetPurge returns the purge of the site.
func (s Sites) GetPurge(ctx context.Context, id, purge string) (p Purge, err error) {
	return p, s.c.get(ctx, at(at(sitesPath, id)+"/purges", purge), nil, &p)
}

// Traffic is what edges did for a site in the last hour, as the node knows that was
// asked: it counts since it was started.
type Traffic struct {
	Points  []TrafficPoint   `json:"points"` // by ten seconds, the oldest first; none where nothing was asked
	Status  map[string]int64 `json:"status"` // requests by 2xx, 3xx, 4xx and 5xx
	Paths   []PathCount      `json:"paths"`  // those that are asked for most, about
	Origins []OriginState    `json:"origins"`
}

// TrafficPoint is ten seconds of a site.
type TrafficPoint struct {
	At       time.Time `json:"at"` // their end
	Requests int64     `json:"requests"`
	Hits     int64     `json:"hits"`    // requests that were answered from what is stored
	Bytes    int64     `json:"bytes"`   // sent to viewers
	Fetched  int64     `json:"fetched"` // bytes that came from origins
}

// PathCount is how often a path was asked for.
type PathCount struct {
	Path     string `json:"path"`
	Requests int64  `json:"requests"`
}

// OriginState is how an origin looks from an edge.
type OriginState struct {
	Edge   string `json:"edge"` // its name
	URL    string `json:"url"`
	State  string `json:"state"` // up, failing or down
	Reason string `json:"reason,omitempty"`
}

// Traffic returns what edges did for the site.
func (s Sites) Traffic(ctx context.Context, id string) (t Traffic, err error) {
	return t, s.c.get(ctx, at(sitesPath, id)+"/traffic", nil, &t)
}

// SiteRequest is one that a viewer made and an edge answered.
type SiteRequest struct {
	At      time.Time `json:"at"`
	Edge    string    `json:"edge"`   // its name
	Client  string    `json:"client"` // the network that the viewer is in
	Method  string    `json:"method"`
	Host    string    `json:"host"`
	Path    string    `json:"path"`
	Status  int       `json:"status"`
	Bytes   int64     `json:"bytes"`
	Seconds float64   `json:"seconds"`
	Cache   string    `json:"cache"` // hit, miss or pass
}

// Requests yields requests of viewers as edges answer them, until ctx ends: then without
// an error. Each edge shows at most 20 a second. A broken connection is made again; what
// was answered meanwhile is not shown. It ends after the first error that will stay.
func (s Sites) Requests(ctx context.Context, id string) iter.Seq2[SiteRequest, error] {
	return func(yield func(SiteRequest, error) bool) {
		err := s.c.follow(ctx, at(sitesPath, id)+"/requests", "", func(m message) error {
			var r SiteRequest
			if err := json.Unmarshal(m.data, &r); err != nil {
				return &notOurs{fmt.Errorf("the data of a %s are no request: %w", m.kind, err)}
			}
			if !yield(r, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil {
			yield(SiteRequest{}, err)
		}
	}
}
