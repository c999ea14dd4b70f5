package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// tenant is a tenant with a key of everything but admin, and what it has.
type tenant struct {
	*caller
	id    string
	cloud *cloud
	own   map[string]string // ids of what it has, by the name in forms()
}

// scopes are all but admin.
func scopes() []string {
	return []string{"assets:read", "assets:write", "keys:write", "webhooks:write", "sites:read", "sites:write", "usage:read", "nodes:read"}
}

// newTenant makes a tenant, and one of each thing in it.
func newTenant(t *testing.T, c *cloud, name string) *tenant {
	t.Helper()
	id := c.as(c.Key).ask(t, http.StatusCreated, "POST", "/v1/tenants", `{"name":"`+name+`"}`).text("id")
	one := &tenant{id: id, cloud: c, own: map[string]string{}}
	one.caller = c.as(one.newKey(t, scopes()...))
	asset := one.ready(t)
	one.own["asset"] = asset.text("id")
	one.own["job"] = one.ask(t, http.StatusOK, "GET", "/v1/jobs", nil).ids(t)[0]
	one.own["key"] = one.ask(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"other","scopes":["assets:read"]}`).text("id")
	one.own["webhook"] = one.ask(t, http.StatusCreated, "POST", "/v1/webhooks", `{"url":"http://receiver.invalid:9/"}`).text("id")
	one.own["delivery"] = one.ask(t, http.StatusAccepted, "POST", "/v1/webhooks/"+one.own["webhook"]+"/test", nil).text("id")
	one.own["stream"] = one.ask(t, http.StatusCreated, "POST", "/v1/streams", `{"name":"hall"}`).text("id")
	one.own["site"] = one.ask(t, http.StatusCreated, "POST", "/v1/sites", newSite(strings.ToLower(name))).text("id")
	one.own["purge"] = one.ask(t, http.StatusAccepted, "POST", "/v1/sites/"+one.own["site"]+"/purges", `{"kind":"all"}`).text("id")
	one.own["upload"] = one.ask(t, http.StatusCreated, "POST", "/v1/uploads", nil, tus, header{"Upload-Length", "10"}).header.Get("Liuyun-Asset")
	return one
}

// tus is in every request of tus.
var tus = header{"Tus-Resumable", "1.0.0"}

// newKey makes a key of the tenant, as the operator would.
func (o *tenant) newKey(t *testing.T, scopes ...string) string {
	t.Helper()
	body := map[string]any{"name": strings.Join(scopes, " "), "scopes": scopes}
	return o.cloud.as(o.cloud.Key).ask(t, http.StatusCreated, "POST", "/v1/keys", body, header{"Liuyun-Tenant", o.id}).text("secret")
}

// form is how an operation is asked for.
type form struct {
	things  []string // whose ids the path has, in order
	body    any
	headers []header
	// shared things are not a tenant's: the nodes, and what only admin may touch.
	shared bool
}

// forms has every operation of the document, by id.
func forms() map[string]form {
	asset, webhook, stream, site := []string{"asset"}, []string{"webhook"}, []string{"stream"}, []string{"site"}
	chunk := []header{tus, {"Upload-Offset", "0"}, {"Content-Type", "application/offset+octet-stream"}}
	return map[string]form{
		"list-assets": {}, "list-jobs": {}, "list-keys": {}, "list-webhooks": {}, "get-usage": {}, "get-session": {}, "sign-out": {}, "stream-events": {},
		"get-asset": {things: asset}, "delete-asset": {things: asset}, "retry-asset": {things: asset},
		"update-asset":  {things: asset, body: `{"name":"stolen"}`},
		"get-encoding":  {things: asset},
		"compare-asset": {things: asset, body: `{}`}, "get-comparison": {things: asset}, "delete-comparison": {things: asset},
		"sign-playback":    {things: asset, body: `{}`},
		"put-source":       {things: asset, body: []byte("x")},
		"put-subtitles":    {things: []string{"asset", "language"}, body: "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n", headers: []header{{"Content-Type", "text/vtt"}}},
		"delete-subtitles": {things: []string{"asset", "language"}},
		"create-asset":     {body: `{"name":"new"}`},
		"list-streams":     {},
		"get-stream":       {things: stream}, "delete-stream": {things: stream}, "rotate-stream-key": {things: stream},
		"update-stream":         {things: stream, body: `{"name":"stolen"}`},
		"sign-stream-playback":  {things: stream, body: `{}`},
		"get-stream-statistics": {things: stream},
		"create-clip":           {things: stream, body: `{"last":5}`},
		"create-caption":        {things: stream, body: `{"language":"en","text":"stolen"}`},
		"create-marker":         {things: stream, body: `{"class":"stolen"}`},
		"start-stream":          {things: stream}, "stop-stream": {things: stream},
		"create-stream": {body: `{"name":"new"}`},
		"publish-whip":  {shared: true}, "change-whip": {shared: true}, "end-whip": {shared: true},
		"get-job":    {things: []string{"job"}},
		"create-key": {body: `{"name":"new","scopes":["keys:write"]}`},
		"get-key":    {things: []string{"key"}}, "delete-key": {things: []string{"key"}},
		"create-webhook": {body: `{"url":"http://receiver.invalid:9/"}`},
		"get-webhook":    {things: webhook}, "delete-webhook": {things: webhook}, "test-webhook": {things: webhook}, "list-deliveries": {things: webhook},
		"change-webhook":  {things: webhook, body: `{"enabled":false}`},
		"resend-delivery": {things: []string{"webhook", "delivery"}},
		"list-sites":      {}, "create-site": {body: newSite("new")},
		"get-site": {things: site}, "delete-site": {things: site}, "get-traffic": {things: site}, "list-purges": {things: site}, "tail-requests": {things: site},
		"replace-site":       {things: site, body: newSite("stolen")},
		"upload-certificate": {things: site, body: `{"certificate":"stolen","key":"stolen"}`},
		"create-purge":       {things: site, body: `{"kind":"all","hard":true}`},
		"get-purge":          {things: []string{"site", "purge"}},
		"list-edges":         {shared: true},
		"create-upload":      {headers: []header{tus, {"Upload-Length", "10"}}},
		"get-upload":         {things: []string{"upload"}, headers: []header{tus}},
		"append-upload":      {things: []string{"upload"}, headers: chunk, body: []byte("0123456789")},
		"delete-upload":      {things: []string{"upload"}, headers: []header{tus}},
		"sign-in":            {shared: true}, "get-openapi": {shared: true},
		"list-nodes": {shared: true}, "get-node": {shared: true, things: []string{"node"}}, "delete-node": {shared: true, things: []string{"node"}},
		"drain-node": {shared: true, things: []string{"node"}}, "resume-node": {shared: true, things: []string{"node"}},
		"make-join-token": {shared: true, body: `{}`},
		"list-tenants":    {shared: true}, "create-tenant": {shared: true, body: `{"name":"new"}`},
		"get-tenant": {shared: true, things: []string{"tenant"}}, "delete-tenant": {shared: true, things: []string{"tenant"}},
		"update-tenant": {shared: true, things: []string{"tenant"}, body: `{"name":"stolen"}`},
	}
}

// path puts ids into the path of an operation.
func (f form) path(t *testing.T, op operation, own map[string]string) string {
	t.Helper()
	path := op.Path
	for _, thing := range f.things {
		before, rest, found := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		if !found {
			t.Fatalf("%s has no place for %s", op.Path, thing)
		}
		path = before + own[thing] + after
	}
	if strings.Contains(path, "{") {
		t.Fatalf("%s: forms() names too few things", op.ID)
	}
	return path
}

// No operation of the document lets anyone in without a key, without the scope,
// or to what is another tenant's.
func TestTenants(t *testing.T) {
	c := start(t, reachable(t)...)
	a, b := newTenant(t, c, "A"), newTenant(t, c, "B")
	for _, one := range []*tenant{a, b} {
		one.own["language"], one.own["tenant"] = "en", a.id
		one.own["node"] = c.as(c.Key).ask(t, http.StatusOK, "GET", "/v1/nodes", nil).ids(t)[0]
	}
	before := a.all(t)
	known := forms()
	for _, op := range c.document.operations {
		f, found := known[op.ID]
		if !found {
			t.Errorf("%s is not in forms(): say how it is asked for, and whose it is", op.ID)
			continue
		}
		delete(known, op.ID)
		if op.Public {
			continue
		}
		t.Run(op.ID, func(t *testing.T) { b.tries(t, a, op, f) })
	}
	for id := range known {
		t.Errorf("forms() has %s, and the document has not", id)
	}
	if after := a.all(t); after != before {
		t.Errorf("what is A's has changed from\n%s\nto\n%s", before, after)
	}
}

// tries has b ask for what is a's.
func (b *tenant) tries(t *testing.T, a *tenant, op operation, f form) {
	path := f.path(t, op, a.own)
	b.cloud.as("").ask(t, http.StatusUnauthorized, op.Method, path, f.body, f.headers...)
	if op.Scope != "" {
		rest := slices.DeleteFunc(scopes(), func(scope string) bool { return scope == op.Scope })
		b.cloud.as(b.newKey(t, rest...)).ask(t, http.StatusForbidden, op.Method, path, f.body, f.headers...)
	}
	// Acting in another tenant is for admin keys; that it exists is not told.
	inA := append(slices.Clone(f.headers), header{"Liuyun-Tenant", a.id})
	b.ask(t, http.StatusNotFound, op.Method, path, f.body, inA...)
	if len(f.things) == 0 || f.shared {
		return
	}
	got := b.ask(t, http.StatusNotFound, op.Method, path, f.body, f.headers...)
	absent := strings.NewReplacer(a.own[f.things[0]], "absent").Replace(path)
	if none := b.ask(t, http.StatusNotFound, op.Method, absent, f.body, f.headers...); none.text("code") != got.text("code") || none.text("title") != got.text("title") {
		t.Errorf("what is another's is answered with\n%s\nwhat is not there with\n%s", got.body, none.body)
	}
	if last := len(f.things) - 1; last > 0 && f.things[last] != "language" { // a thing of a's in a thing of b's
		mixed := map[string]string{f.things[0]: b.own[f.things[0]], f.things[last]: a.own[f.things[last]]}
		b.ask(t, http.StatusNotFound, op.Method, f.path(t, op, mixed), f.body, f.headers...)
	}
}

// Wrong keys are refused, then held back; who has the right one, behind the same
// address, is not.
func TestWrongKeys(t *testing.T) {
	c := start(t)
	wrong := c.as("lyk_wrong")
	refused := map[int]int{}
	for range 60 {
		refused[send(t, wrong.request(t, "GET", "/v1/assets", nil)).status]++
	}
	if refused[http.StatusUnauthorized] == 0 || refused[http.StatusTooManyRequests] == 0 || len(refused) != 2 {
		t.Errorf("wrong keys are answered with %v, want 401 and then 429", refused)
	}
	c.as(c.Key).ask(t, http.StatusOK, "GET", "/v1/assets", nil)
	c.as("").ask(t, http.StatusOK, "POST", "/v1/session", `{"key":"`+c.Key+`"}`)
}

// all is what a tenant sees of itself.
func (o *tenant) all(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	for _, path := range []string{"/v1/assets", "/v1/keys", "/v1/webhooks", "/v1/jobs", "/v1/webhooks/" + o.own["webhook"] + "/deliveries", "/v1/sites", "/v1/sites/" + o.own["site"] + "/purges"} {
		var list struct {
			Data []map[string]any `json:"data"`
		}
		if err := json.Unmarshal(o.ask(t, http.StatusOK, "GET", path, nil).body, &list); err != nil {
			t.Fatal(err)
		}
		for _, one := range list.Data {
			for _, changing := range []string{"last_used_at", "playback", "thumbnails", "renditions", "state", "attempts", "error", "next_at", "failing_since"} {
				delete(one, changing)
			}
			line, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
		}
	}
	return text.String()
}

// Lists, events and usage show what is one's own, to a tenant and to an admin who
// acts in it.
func TestTenantsSeeTheirOwn(t *testing.T) {
	c := start(t)
	a, b := newTenant(t, c, "A"), newTenant(t, c, "B")
	admin := c.as(c.Key)
	for _, path := range []string{"/v1/assets", "/v1/assets?q=clip", "/v1/jobs", "/v1/jobs?asset=" + a.own["asset"], "/v1/keys", "/v1/webhooks", "/v1/sites", "/v1/usage", "/v1/session"} {
		seen := b.ask(t, http.StatusOK, "GET", path, nil)
		b.hidden(t, path, string(seen.body), a)
		through := admin.ask(t, http.StatusOK, "GET", path, nil, header{"Liuyun-Tenant", b.id})
		b.hidden(t, path+" by an admin", string(through.body), a)
		if strings.HasPrefix(path, "/v1/assets") && !slices.Contains(through.ids(t), b.own["asset"]) {
			t.Errorf("an admin in B does not see B's asset:\n%s", through.body)
		}
		if own := admin.ask(t, http.StatusOK, "GET", path, nil); strings.Contains(string(own.body), b.own["asset"]) {
			t.Errorf("%s: an admin sees what is B's without acting in B", path)
		}
	}
	admin.ask(t, http.StatusNotFound, "GET", "/v1/assets", nil, header{"Liuyun-Tenant", "ten_absent"})
	admin.ask(t, http.StatusNotFound, "GET", "/v1/assets/"+b.own["asset"], nil)
	admin.ask(t, http.StatusNotFound, "GET", "/v1/assets/"+b.own["asset"], nil, header{"Liuyun-Tenant", a.id})
	admin.ask(t, http.StatusOK, "GET", "/v1/assets/"+b.own["asset"], nil, header{"Liuyun-Tenant", b.id})

	// From the first event that is kept to one that is made now.
	last := b.ask(t, http.StatusCreated, "POST", "/v1/assets", `{"name":"last of B"}`).text("id")
	_, text := b.first(t, func(text string) bool { return strings.Contains(text, last) }, header{"Last-Event-ID", "0"})
	b.hidden(t, "/v1/events", text, a)
	if !strings.Contains(text, b.own["asset"]) {
		t.Errorf("B does not see the events of its own asset:\n%.2000s", text)
	}
}

// hidden fails the test when something of another tenant shows. An id that one has
// asked with does not count.
func (o *tenant) hidden(t *testing.T, where, text string, other *tenant) {
	t.Helper()
	for thing, id := range other.own {
		if strings.Contains(text, id) {
			t.Errorf("%s shows the %s of another tenant:\n%.2000s", where, thing, text)
		}
	}
	if strings.Contains(text, other.id) {
		t.Errorf("%s shows the id of another tenant:\n%.2000s", where, text)
	}
}

// Progress is told to its own tenant only, while it happens.
func TestProgressIsTheTenants(t *testing.T) {
	c := start(t)
	var tenants []*caller
	for _, name := range []string{"A", "B"} {
		id := c.as(c.Key).ask(t, http.StatusCreated, "POST", "/v1/tenants", `{"name":"`+name+`"}`).text("id")
		tenants = append(tenants, c.as((&tenant{id: id, cloud: c}).newKey(t, scopes()...)))
	}
	a, b := tenants[0], tenants[1]
	seen, begun, heard := make(chan string, 1), make(chan struct{}), false
	go func() {
		defer close(seen)
		_, text := b.first(t, func(text string) bool {
			if !heard {
				heard = true
				close(begun)
			}
			return strings.Contains(text, "the end")
		}, header{"Last-Event-ID", "0"})
		seen <- text
	}()
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("B's stream of events does not begin")
	}
	id := a.ready(t).text("id")
	b.ask(t, http.StatusCreated, "POST", "/v1/assets", `{"name":"the end"}`)
	if text := <-seen; strings.Contains(text, id) {
		t.Errorf("B was told of A's asset:\n%s", text)
	}
}
