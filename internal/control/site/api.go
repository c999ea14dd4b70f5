package site

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// Site is a site as the API shows it.
type Site struct {
	ID string `json:"id"`
	edge.Settings
	Certificate *Certificate `json:"certificate,omitempty" doc:"The one that was uploaded."`
	Rev         int64        `json:"rev"`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
}

// Certificate is what of an uploaded certificate is shown.
type Certificate struct {
	Names    []string  `json:"names" nullable:"false"`
	NotAfter time.Time `json:"not_after"`
}

// CertificatePair is an uploaded certificate with its key.
type CertificatePair struct {
	Certificate string `json:"certificate" minLength:"1" maxLength:"65536" doc:"PEM, the chain behind it included."`
	Key         string `json:"key" minLength:"1" maxLength:"32768" doc:"PEM; it is never shown again."`
	// Hosts come with it where both are others than before: each has to fit the other.
	Hosts []string `json:"hosts,omitempty" nullable:"false" maxItems:"100" doc:"The names of the site from now on; those that it has when absent."`
}

// NewPurge is what edges are not to serve as it is any more.
type NewPurge struct {
	Kind  string `json:"kind" enum:"url,prefix,tag,host,all"`
	Value string `json:"value,omitempty" maxLength:"4096" doc:"host/path?query of a url, host/path/ of a prefix, a tag of Surrogate-Key or Cache-Tag, a host; nothing for all."`
	Hard  bool   `json:"hard,omitempty" doc:"It is forgotten. Otherwise the origin is asked whether it is still right, and it is served while no origin answers."`
}

// Purge is a purge as the API shows it.
type Purge struct {
	ID string `json:"id"`
	NewPurge
	CreatedAt time.Time `json:"created_at"`
	Status    string    `json:"status" enum:"running,done" doc:"Done is when all edges have it, those that are away too."`
	Edges     int       `json:"edges" doc:"How many there are."`
	Done      int       `json:"done" doc:"How many have it."`
	Waiting   []string  `json:"waiting" nullable:"false" doc:"Names of edges that are there and have not got it yet."`
	Away      []string  `json:"away" nullable:"false" doc:"Names of edges that are not heard of. They go on serving what they have, and purge it when they hear of this."`
}

// PathCount is how often a path was asked for.
type PathCount struct {
	Path     string `json:"path" doc:"Behind its host; of what the cloud itself serves the path alone."`
	Requests int64  `json:"requests"`
}

// Traffic is what edges did for a site.
type Traffic struct {
	Points  []TrafficPoint   `json:"points" nullable:"false" doc:"The last hour by ten seconds, the oldest first. Where nothing was asked, there is none."`
	Status  map[string]int64 `json:"status" doc:"Requests by 2xx, 3xx, 4xx and 5xx."`
	Paths   []PathCount      `json:"paths" nullable:"false" doc:"Those that are asked for most, about."`
	Origins []OriginAtEdge   `json:"origins" nullable:"false"`
}

// OriginAtEdge is how an origin looks from an edge.
type OriginAtEdge struct {
	Edge string `json:"edge" doc:"Name of the edge."`
	edge.OriginState
}

// Edge is an edge as the API shows it.
type Edge struct {
	ID       string    `json:"id" doc:"Of the node."`
	Name     string    `json:"name"`
	Region   string    `json:"region"`
	URL      string    `json:"url" doc:"By which viewers reach it."`
	Shield   bool      `json:"shield" doc:"Other edges ask it."`
	State    string    `json:"state" enum:"ready,behind,away" doc:"Behind is one that has not got the last change yet."`
	SeenAt   time.Time `json:"seen_at"`
	Load     float64   `json:"load" doc:"Part of the cores that is busy, 0 to 1."`
	Requests float64   `json:"requests" doc:"A second."`
	HitRatio float64   `json:"hit_ratio" doc:"Part of the requests that was answered from what is stored, lately."`
	Egress   float64   `json:"egress" doc:"Bits a second to viewers."`
	Ingress  float64   `json:"ingress" doc:"Bits a second from origins."`
	Capacity int64     `json:"capacity" doc:"Bits a second that it can send; 0 where it does not say."`
	Stored   int64     `json:"stored" doc:"Bytes."`
	Own      int64     `json:"stored_own" doc:"Of these, bytes of the tenant that asks."`
	Waiting  int64     `json:"waiting" doc:"Requests that wait for an origin."`
}

type sitePath struct {
	ID string `path:"id" maxLength:"64"`
}

type siteOutput struct {
	ETag string `header:"ETag"`
	Body Site
}

type replaceInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
	Body    edge.Settings
}

type deleteInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

type certificateInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body CertificatePair
}

type purgesInput struct {
	ID string `path:"id" maxLength:"64"`
	web.PageQuery
}

type purgeInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body NewPurge
}

type purgePath struct {
	ID    string `path:"id" maxLength:"64"`
	Purge string `path:"purge" maxLength:"24"`
}

type purgeOutput struct{ Body Purge }

// Routes adds the operations to the API.
func (s *Service) Routes(a *web.API) {
	op := func(id, method, path, scope, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: "/v1/sites" + path, Tag: "Sites", Scope: scope, Summary: summary, Status: status}
	}
	web.Add(a, op("list-sites", http.MethodGet, "", guard.SitesRead, "List sites", 0), s.list)
	web.Add(a, op("create-site", http.MethodPost, "", guard.SitesWrite, "Have edges serve a site", http.StatusCreated), s.create)
	web.Add(a, op("get-site", http.MethodGet, "/{id}", guard.SitesRead, "Get a site", 0), s.get)
	web.Add(a, op("replace-site", http.MethodPut, "/{id}", guard.SitesWrite, "Replace what is said of a site", 0), s.replace)
	web.Add(a, op("delete-site", http.MethodDelete, "/{id}", guard.SitesWrite, "Delete a site; edges do not answer for it any more", http.StatusNoContent), s.delete)
	web.Add(a, op("upload-certificate", http.MethodPut, "/{id}/certificate", guard.SitesWrite, "Upload the certificate of a site's names", 0), s.certify)
	web.Add(a, op("list-purges", http.MethodGet, "/{id}/purges", guard.SitesRead, "List purges", 0), s.listPurges)
	web.Add(a, op("create-purge", http.MethodPost, "/{id}/purges", guard.SitesWrite, "Have edges purge what they stored", http.StatusAccepted), s.createPurge)
	web.Add(a, op("get-purge", http.MethodGet, "/{id}/purges/{purge}", guard.SitesRead, "Get a purge, and who has it", 0), s.getPurge)
	web.Add(a, op("get-traffic", http.MethodGet, "/{id}/traffic", guard.SitesRead, "What edges did for a site in the last hour", 0), s.getTraffic)
	web.Add(a, web.Op{ID: "list-edges", Method: http.MethodGet, Path: "/v1/edges", Tag: "Edges", Scope: guard.NodesRead, Summary: "List the edges of the cloud"}, s.listEdges)
	s.tailRoute(a)
}

func tenantOf(ctx context.Context) string {
	p, _ := guard.From(ctx)
	return p.Tenant
}

func (s *Service) list(ctx context.Context, in *web.PageQuery) (*struct{ Body web.Page[Site] }, error) {
	page := web.Page[Site]{Data: []Site{}}
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		where, args := "WHERE tenant = ?", []any{tenantOf(ctx)}
		if in.After != "" {
			where, args = where+" AND id < ?", append(args, in.After)
		}
		found, err := query(tx, where+" ORDER BY id DESC LIMIT ?", append(args, in.Limit+1)...)
		if len(found) > in.Limit {
			found = found[:in.Limit]
			page.Next = found[in.Limit-1].ID
		}
		for _, r := range found {
			page.Data = append(page.Data, show(r))
		}
		return err
	})
	return &struct{ Body web.Page[Site] }{page}, err
}

func (s *Service) create(ctx context.Context, in *struct{ Body edge.Settings }) (*siteOutput, error) {
	now := s.moment()
	r := record{Site: edge.Site{ID: s.ids.New("sit"), Tenant: tenantOf(ctx), Settings: in.Body}, Created: now, Updated: now}
	if err := s.check(&r, nil); err != nil {
		return nil, err
	}
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		var count int64
		if err := tx.QueryRow("SELECT COUNT(*) FROM sites WHERE tenant = ?", r.Tenant).Scan(&count); err != nil {
			return err
		}
		if count >= mostSites {
			return fault.New(fault.Limit, "there are %d sites, which is the most of one tenant; give one of them more names, or delete one", mostSites)
		}
		r.Revision = 0
		return s.put(tx, &r)
	})
	return output(r), err
}

func (s *Service) get(ctx context.Context, in *sitePath) (*siteOutput, error) {
	var r record
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		r, err = get(tx, tenantOf(ctx), in.ID)
		return err
	})
	return output(r), err
}

func (s *Service) replace(ctx context.Context, in *replaceInput) (*siteOutput, error) {
	return s.change(ctx, in.ID, in.IfMatch, func(r *record) error {
		before := r.Settings
		r.Settings = in.Body
		return s.check(r, before.Origins)
	})
}

func (s *Service) certify(ctx context.Context, in *certificateInput) (*siteOutput, error) {
	return s.change(ctx, in.ID, "", func(r *record) error {
		if len(in.Body.Hosts) > 0 {
			r.Hosts = slices.Clone(in.Body.Hosts)
		}
		r.Certificate, r.Key, r.TLS = in.Body.Certificate, in.Body.Key, tlsUploaded
		return s.check(r, r.Origins)
	})
}

// change has fn change a site. That is looked at for as long as it takes, with all its rules
// and certificates, before the records are locked for others; where somebody else has
// changed the site meanwhile, it is done anew.
func (s *Service) change(ctx context.Context, id, match string, fn func(*record) error) (*siteOutput, error) {
	for range mostChanges {
		var r record
		err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
			r, err = get(tx, tenantOf(ctx), id)
			return err
		})
		if err == nil {
			err = web.CheckMatch(match, r.Revision)
		}
		of := r.Revision
		if err == nil {
			err = fn(&r)
		}
		if err != nil {
			return nil, err
		}
		again := false
		err = s.deps.DB.Write(ctx, func(tx *store.Tx) error {
			now, err := get(tx, tenantOf(ctx), id)
			if again = err == nil && now.Revision != of; err != nil || again {
				return err
			}
			r.Updated = s.moment()
			return s.put(tx, &r)
		})
		if err != nil || !again {
			return output(r), err
		}
	}
	return nil, fault.New(fault.Conflict, "somebody else changes this site all the time; try again")
}

// mostChanges bounds how often a change is done anew.
const mostChanges = 5

func (s *Service) delete(ctx context.Context, in *deleteInput) (*struct{}, error) {
	return nil, s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		r, err := get(tx, tenantOf(ctx), in.ID)
		if err != nil {
			return err
		}
		if err := web.CheckMatch(in.IfMatch, r.Revision); err != nil {
			return err
		}
		return s.remove(tx, r)
	})
}

func output(r record) *siteOutput {
	return &siteOutput{web.ETag(r.Revision), show(r)}
}

// may says whether who asks may see and change what is of a site; that of the cloud
// itself is for operators.
func (s *Service) may(ctx context.Context, tx *store.Tx, id string) (hosts []string, err error) {
	p, _ := guard.From(ctx)
	if id == edge.Cloud {
		if !p.Allows(guard.Admin) {
			return nil, fault.New(fault.Forbidden, "what the cloud itself serves is for a key of scope admin")
		}
		return nil, nil
	}
	r, err := get(tx, p.Tenant, id)
	return r.Hosts, err
}

func (s *Service) createPurge(ctx context.Context, in *purgeInput) (*purgeOutput, error) {
	var p purgeRecord
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		hosts, err := s.may(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		what := edge.Purge{Site: in.ID, Kind: in.Body.Kind, Value: in.Body.Value, Hard: in.Body.Hard}
		if err := checkPurge(&what, hosts); err != nil {
			return err
		}
		p, err = s.addPurge(tx, tenantOf(ctx), what)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.showPurge(ctx, p)
}

func (s *Service) getPurge(ctx context.Context, in *purgePath) (*purgeOutput, error) {
	revision, err := strconv.ParseInt(in.Purge, 10, 64)
	if err != nil {
		return nil, fault.New(fault.NotFound, "there is no such purge; only the last %d are known", mostPurges)
	}
	var p purgeRecord
	err = s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if _, err = s.may(ctx, tx, in.ID); err == nil {
			p, err = getPurge(tx, in.ID, revision)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.showPurge(ctx, p)
}

func (s *Service) listPurges(ctx context.Context, in *purgesInput) (*struct{ Body web.Page[Purge] }, error) {
	page := web.Page[Purge]{Data: []Purge{}}
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		if _, err := s.may(ctx, tx, in.ID); err != nil {
			return err
		}
		where, args := "WHERE site = ?", []any{in.ID}
		if in.After != "" {
			before, err := strconv.ParseInt(in.After, 10, 64)
			if err != nil {
				return fault.New(fault.Invalid, "after is no cursor of this list")
			}
			where, args = where+" AND rev < ?", append(args, before)
		}
		found, err := queryPurges(tx, where+" ORDER BY rev DESC LIMIT ?", append(args, in.Limit+1)...)
		if err != nil {
			return err
		}
		if len(found) > in.Limit {
			found = found[:in.Limit]
			page.Next = strconv.FormatInt(found[in.Limit-1].Revision, 10)
		}
		all, err := nodes(tx)
		for _, p := range found {
			page.Data = append(page.Data, s.progress(p, all))
		}
		return err
	})
	return &struct{ Body web.Page[Purge] }{page}, err
}

func (s *Service) showPurge(ctx context.Context, p purgeRecord) (*purgeOutput, error) {
	var all []edge.Node
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = nodes(tx)
		return err
	})
	return &purgeOutput{s.progress(p, all)}, err
}

// progress says which edges have a purge.
func (s *Service) progress(p purgeRecord, all []edge.Node) Purge {
	shown := Purge{
		ID: strconv.FormatInt(p.Revision, 10), NewPurge: NewPurge{p.Kind, p.Value, p.Hard}, CreatedAt: p.Created,
		Status: "done", Edges: len(all), Waiting: []string{}, Away: []string{},
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range all {
		h := s.edges[n.ID]
		switch {
		case h != nil && h.Revision >= p.Revision:
			shown.Done++
			continue
		case h != nil && now.Sub(h.at) <= awayAfter:
			shown.Waiting = append(shown.Waiting, n.Name)
		default:
			shown.Away = append(shown.Away, n.Name)
		}
		shown.Status = "running"
	}
	return shown
}

func (s *Service) getTraffic(ctx context.Context, in *sitePath) (*struct{ Body Traffic }, error) {
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		_, err := s.may(ctx, tx, in.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	shown := Traffic{Points: []TrafficPoint{}, Status: map[string]int64{}, Paths: []PathCount{}, Origins: []OriginAtEdge{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.traffic[in.ID]; t != nil {
		shown.Points, shown.Status, shown.Paths = append(shown.Points, t.points...), t.status(), t.top()
	}
	for _, h := range s.edges {
		for _, o := range h.Origins[in.ID] {
			shown.Origins = append(shown.Origins, OriginAtEdge{h.Place.Name, o})
		}
	}
	sortOrigins(shown.Origins)
	return &struct{ Body Traffic }{shown}, nil
}

func (s *Service) listEdges(ctx context.Context, in *web.PageQuery) (*struct{ Body web.Page[Edge] }, error) {
	var all []edge.Node
	var st state
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if st, err = readState(tx); err == nil {
			all, err = nodes(tx)
		}
		return err
	})
	page := web.Page[Edge]{Data: []Edge{}}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range slices.Backward(all) {
		if in.After != "" && n.ID >= in.After {
			continue
		}
		if len(page.Data) == in.Limit {
			page.Next = page.Data[in.Limit-1].ID
			break
		}
		page.Data = append(page.Data, showEdge(n, s.edges[n.ID], tenantOf(ctx), st.revision, now))
	}
	return &struct{ Body web.Page[Edge] }{page}, err
}

func showEdge(n edge.Node, h *heard, tenant string, revision int64, now time.Time) Edge {
	e := Edge{ID: n.ID, Name: n.Name, Region: n.Region, URL: n.URL, Shield: len(n.Shield) > 0, State: "away", Capacity: n.Capacity}
	if h == nil {
		return e
	}
	e.SeenAt = h.at.UTC()
	if now.Sub(h.at) > awayAfter {
		return e
	}
	e.State = "ready"
	if h.Revision < revision {
		e.State = "behind"
	}
	e.Load, e.Stored, e.Own, e.Waiting = h.Load, h.Stored, h.Tenants[tenant], h.Waiting
	if h.Seconds > 0 {
		e.Requests = float64(h.rate.Requests) / h.Seconds
		e.Egress, e.Ingress = float64(h.rate.Bytes)*8/h.Seconds, float64(h.rate.Fetched)*8/h.Seconds
	}
	if h.rate.Requests > 0 {
		e.HitRatio = float64(h.rate.Hits) / float64(h.rate.Requests)
	}
	return e
}
