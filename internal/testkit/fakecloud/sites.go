package fakecloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// addEdges makes two edges, of which the second is away.
func (c *Cloud) addEdges() {
	c.add("edges", Object{"id": "nod_00000000000000000000000003", "name": "berlin", "region": "eu", "url": "https://berlin.example", "shield": true, "state": "ready",
		"seen_at": clock, "load": 0.25, "requests": 120.5, "hit_ratio": 0.975, "egress": 48e6, "ingress": 1.2e6, "capacity": 1e9, "stored": 3_000_000_000, "waiting": 2})
	c.add("edges", Object{"id": "nod_00000000000000000000000004", "name": "osaka", "region": "asia", "url": "", "shield": false, "state": "away",
		"seen_at": "0001-01-01T00:00:00Z", "load": 0, "requests": 0, "hit_ratio": 0, "egress": 0, "ingress": 0, "capacity": 0, "stored": 0, "waiting": 0})
}

// ofSettings are the fields that a site may be said to have.
func ofSettings() []string {
	return []string{"name", "hosts", "disabled", "origins", "health", "rules", "tls", "default_ttl", "stale_if_error"}
}

// checkSite says what is wrong with the settings of a site.
func (c *Cloud) checkSite(of Object, in Object) (int, Object) {
	for name := range in {
		if !slices.Contains(ofSettings(), name) {
			return fail(422, "invalid", "the request is wrong: body."+name+" is not known")
		}
	}
	hosts, _ := in["hosts"].([]any)
	origins, _ := in["origins"].([]any)
	if in["name"] == nil || len(hosts) == 0 || len(origins) == 0 {
		return fail(422, "invalid", "a site has a name, hosts and origins")
	}
	if in["tls"] == "uploaded" && of["certificate"] == nil {
		return fail(400, "invalid", "tls: upload a certificate first, with PUT /v1/sites/{id}/certificate")
	}
	for _, other := range c.collections["sites"] {
		for _, host := range hosts {
			if taken, _ := other["hosts"].([]any); other["id"] != of["id"] && slices.Contains(taken, host) {
				return fail(409, "conflict", fmt.Sprintf("another site has the name %v; remove it there first", host))
			}
		}
	}
	return 0, nil
}

func setSite(o, in Object) {
	for _, name := range ofSettings() {
		delete(o, name)
	}
	for name, value := range in {
		o[name] = value
	}
	if o["tls"] == nil {
		o["tls"] = "off"
	}
}

func (c *Cloud) createSite(in Object) (int, Object) {
	o := Object{"id": c.newID("sit"), "created_at": clock, "updated_at": clock, "rev": 1}
	if status, problem := c.checkSite(o, in); problem != nil {
		return status, problem
	}
	setSite(o, in)
	c.add("sites", o)
	return 201, o
}

func (c *Cloud) replaceSite(o, in Object) (int, Object) {
	if status, problem := c.checkSite(o, in); problem != nil {
		return status, problem
	}
	setSite(o, in)
	o["rev"] = o["rev"].(int) + 1
	return 200, o
}

// actOnSite carries out what hangs below a site. A purge comes to the edges that are
// there the first time that it is asked for, unless its value has stuck in it.
func (c *Cloud) actOnSite(r *http.Request, o Object, rest []string, in Object) (int, Object) {
	switch {
	case r.Method == "PUT" && rest[0] == "certificate":
		if !strings.Contains(fmt.Sprint(in["certificate"]), "BEGIN CERTIFICATE") {
			return fail(400, "invalid", "certificate and key are no pair in PEM")
		}
		o["certificate"], o["tls"], o["rev"] = Object{"names": []string{"www.example.org"}, "not_after": "2027-11-24T12:00:00Z"}, "uploaded", o["rev"].(int)+1
		return 200, o
	case r.Method == "GET" && rest[0] == "traffic":
		return 200, Object{"points": []Object{
			{"at": "2026-11-24T11:59:50Z", "requests": 100, "hits": 90, "bytes": 4_000_000, "fetched": 500_000},
			{"at": clock, "requests": 300, "hits": 290, "bytes": 12_000_000, "fetched": 100_000},
		}, "status": Object{"2xx": 380, "3xx": 12, "4xx": 8}, "paths": []Object{{"path": "/film.mp4", "requests": 250}, {"path": "/a\nb", "requests": 3}},
			"origins": []Object{{"edge": "berlin", "url": "https://origin.example.org", "state": "failing", "reason": "it answered 502"}}}
	case rest[0] == "purges" && r.Method == "POST":
		p := Object{"id": fmt.Sprint(1_700_000_000_000_000 + len(c.collections["purges"])), "site": o["id"], "kind": in["kind"], "created_at": clock,
			"status": "running", "edges": 2, "done": 0, "waiting": []string{"berlin"}, "away": []string{"osaka"}}
		for _, name := range []string{"value", "hard"} {
			if in[name] != nil {
				p[name] = in[name]
			}
		}
		c.add("purges", p)
		return 202, without(p, "site")
	case rest[0] == "purges" && len(rest) == 1:
		return c.page(r, "purges", func(p Object) bool { return p["site"] == o["id"] })
	case rest[0] == "purges":
		p := c.find("purges", rest[1])
		if p == nil || p["site"] != o["id"] {
			break
		}
		if !strings.Contains(fmt.Sprint(p["value"]), "stuck") {
			p["done"], p["waiting"] = 1, []string{}
		}
		return 200, without(p, "site")
	}
	return fail(404, "not_found", "there is no such thing below it")
}

// Ask has a viewer ask for a path, which is shown to those who watch. Those who come
// later see it, too.
func (c *Cloud) Ask(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, Object{"at": clock, "edge": "berlin", "client": "192.0.2.0", "method": "GET", "host": "www.example.org",
		"path": path, "status": 200, "bytes": 1500, "seconds": 0.25, "cache": "hit"})
	c.wake()
}

// serveRequests streams what viewers asked for, from the first on.
func (c *Cloud) serveRequests(w http.ResponseWriter, r *http.Request, site string) {
	c.mu.Lock()
	known := site == "cloud" || c.find("sites", site) != nil
	c.mu.Unlock()
	if !known {
		problem(w, 404, "not_found", "there is no "+site+" in sites")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "retry: 2000\n\n")
	for from := 0; ; {
		c.mu.Lock()
		changed, fresh := c.changed, c.requests[from:]
		from += len(fresh)
		c.mu.Unlock()
		for _, request := range fresh {
			text, _ := json.Marshal(request)
			fmt.Fprintf(w, "event: request\ndata: %s\n\n", text)
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
