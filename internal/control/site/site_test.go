package site

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/edge"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
	"liuyun/internal/testkit"
)

// fakeBus keeps what was said, and is heard by who has subscribed.
type fakeBus struct {
	mu   sync.Mutex
	said []edge.Delta
	hear map[string]func(node string, data []byte)
}

func (b *fakeBus) Publish(subject string, v any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, ok := v.(edge.Delta); ok && subject == edge.SubjectChanged {
		b.said = append(b.said, d)
	}
	return nil
}

func (b *fakeBus) SubscribeFrom(subject string, fn func(string, []byte)) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hear[subject] = fn
	return func() {}, nil
}

func (b *fakeBus) ServeFrom(string, func(context.Context, string, []byte) (any, error)) (func(), error) {
	return func() {}, nil
}

func (b *fakeBus) Consume(ctx context.Context, _ string, _ func(context.Context, uint64, event.Event) error) error {
	<-ctx.Done()
	return nil
}

type served struct {
	tenant, day string
	bytes       int64
}

// cloud is a service with what it stands on.
type cloud struct {
	*Service
	t      *testing.T
	bus    *fakeBus
	served []served
}

func newCloud(t *testing.T, c store.Config) *cloud {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	k := &cloud{t: t, bus: &fakeBus{hear: map[string]func(string, []byte){}}}
	k.Service = New(Deps{
		DB: db, Messages: k.bus, Log: slog.New(slog.DiscardHandler), Secrets: [][]byte{[]byte("secret")},
		CheckRules: func(rules []edge.Rule) error {
			if len(rules) > 0 && rules[0].Path == "bad" {
				return fault.New(fault.Invalid, "rule 1: bad")
			}
			return nil
		},
		CheckPair: func(certificate, _ string, _ []string) error {
			if certificate == "bad" {
				return fault.New(fault.Invalid, "certificate: bad")
			}
			return nil
		},
		CheckManaged: func(host string) error {
			if strings.HasPrefix(host, "*") {
				return fault.New(fault.Invalid, "tls: upload a certificate for %s", host)
			}
			return nil
		},
		Served: func(_ *store.Tx, tenant, day string, bytes int64) error {
			k.served = append(k.served, served{tenant, day, bytes})
			return nil
		},
		Authenticate: func(*http.Request) (guard.Principal, error) {
			return guard.Principal{Tenant: "a", Scopes: []string{guard.SitesRead}}, nil
		},
		Known: func(_ context.Context, node string) error {
			if strings.HasSuffix(node, "z") {
				return fault.New(fault.NotFound, "no such node")
			}
			return nil
		},
	})
	return k
}

// ask asks the API as a tenant, with a scope.
func (k *cloud) ask(tenant, scope, method, path, body string) (int, map[string]any) {
	k.t.Helper()
	api := web.New(web.Options{Title: "t", Version: "1", Log: slog.New(slog.DiscardHandler), Authenticate: func(*http.Request) (guard.Principal, error) {
		return guard.Principal{Tenant: tenant, Scopes: []string{scope}}, nil
	}})
	k.Routes(api)
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	api.Handler().ServeHTTP(w, r)
	answer := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			k.t.Fatalf("%s %s: %s: %v", method, path, w.Body, err)
		}
	}
	return w.Code, answer
}

func (k *cloud) make(tenant, body string) string {
	k.t.Helper()
	status, answer := k.ask(tenant, guard.SitesWrite, http.MethodPost, "/v1/sites", body)
	if status != http.StatusCreated {
		k.t.Fatalf("%s: %d %v", body, status, answer)
	}
	return answer["id"].(string)
}

func both(t *testing.T, test func(*testing.T, *cloud)) {
	t.Run(store.SQLite, func(t *testing.T) { t.Parallel(); test(t, newCloud(t, store.Config{})) })
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		test(t, newCloud(t, store.Config{URL: testkit.Postgres(t).NewDatabase(t)}))
	})
}

const example = `{"name":"Films","hosts":["WWW.Example.org.","*.films.example.org"],"origins":[{"url":"https://origin.example.org/base"}]}`

const other = `{"name":"x","hosts":["other.example.com"],"origins":[{"url":"https://o"}]}`

func TestSites(t *testing.T) {
	t.Parallel()
	both(t, testSites)
}

func testSites(t *testing.T, k *cloud) {
	made := k.make("a", example)
	status, got := k.ask("a", guard.SitesRead, http.MethodGet, "/v1/sites/"+made, "")
	want := map[string]any{
		"id": made, "name": "Films", "hosts": []any{"www.example.org", "*.films.example.org"}, "tls": "off", "rev": got["rev"], "created_at": got["created_at"], "updated_at": got["updated_at"],
		"origins": []any{map[string]any{"url": "https://origin.example.org/base", "weight": 1.0}}, "rules": nil,
	}
	delete(want, "rules")
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK {
		t.Errorf("status %d (-want +got)\n%s", status, diff)
	}
	if status, _ := k.ask("b", guard.SitesRead, http.MethodGet, "/v1/sites/"+made, ""); status != http.StatusNotFound {
		t.Errorf("another tenant's: got %d, want 404", status)
	}
	if status, got := k.ask("b", guard.SitesWrite, http.MethodPost, "/v1/sites", example); status != http.StatusConflict {
		t.Errorf("the same names: got %d %v, want 409", status, got)
	}
	for body, says := range map[string]string{
		`{"name":"x","hosts":["a/b"],"origins":[{"url":"https://o"}]}`:                                                      "is no name",
		`{"name":"x","hosts":["*"],"origins":[{"url":"https://o"}]}`:                                                        "is no name",
		`{"name":"x","hosts":["*.org"],"origins":[{"url":"https://o"}]}`:                                                    "is no name",
		`{"name":"x","hosts":["a.example","A.example"],"origins":[{"url":"https://o"}]}`:                                    "twice",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"ftp://o"}]}`:                                                  "write an address",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o","backup":true}]}`:                                  "no backup",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o","ca":"x"}]}`:                                       "no certificate",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o"}],"rules":[{"path":"bad"}]}`:                       "rule 1",
		`{"name":"x","hosts":["*.a.example"],"origins":[{"url":"https://o"}],"tls":"acme"}`:                                 "upload a certificate for",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o"}],"tls":"uploaded"}`:                               "upload a certificate",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o"}],"health":{"path":"x"}}`:                          "begin with /",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"http://o","client_certificate":"x","client_key":"y"}]}`:       "needs https",
		`{"name":"x","hosts":["a.example"],"origins":[{"url":"https://o","client_certificate":"x","client_key":"secret"}]}`: "no pair",
	} {
		status, got := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites", body)
		text, _ := json.Marshal(got)
		if status != http.StatusBadRequest || !strings.Contains(string(text), says) || strings.Contains(string(text), "secret") {
			t.Errorf("%s: got %d %s, want 400 with %q", body, status, text, says)
		}
	}
	changed := strings.Replace(example, "Films", "More films", 1)
	if status, got := k.ask("a", guard.SitesWrite, http.MethodPut, "/v1/sites/"+made, changed); status != http.StatusOK || got["name"] != "More films" {
		t.Errorf("replace: got %d %v", status, got)
	}
	if status, got := k.ask("a", guard.SitesWrite, http.MethodPut, "/v1/sites/"+made+"/certificate", `{"certificate":"bad","key":"x"}`); status != http.StatusBadRequest {
		t.Errorf("a bad certificate: got %d %v", status, got)
	}
	if err := k.place(t.Context(), k.ids.New("nod"), edge.Place{Name: "one", URL: "https://Edge1.example.net:8443"}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"edge1.example.net", "*.example.net"} {
		if status, got := k.ask("b", guard.SitesWrite, http.MethodPost, "/v1/sites", strings.Replace(example, "WWW.Example.org.", host, 1)); status != http.StatusConflict {
			t.Errorf("%s, the name of an edge: got %d %v, want 409", host, status, got)
		}
	}
	if status, got := k.ask("a", guard.SitesWrite, http.MethodPut, "/v1/sites/"+made+"/certificate", `{"certificate":"good","key":"x","hosts":["New.example.org","*.films.example.org"]}`); status != http.StatusOK || got["tls"] != "uploaded" || got["hosts"].([]any)[0] != "new.example.org" {
		t.Errorf("a certificate with its names: got %d %v", status, got)
	}
	for _, host := range []string{edge.CloudHost, "*.liuyun.internal", "a.films.example.org"} { // the last is below a's *.films.example.org
		if status, got := k.ask("b", guard.SitesWrite, http.MethodPost, "/v1/sites", strings.Replace(other, "other.example.com", host, 1)); status != http.StatusConflict {
			t.Errorf("%s: got %d %v, want 409", host, status, got)
		}
	}
	k.make("b", other)
	if status, got := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites", strings.Replace(other, "other.example.com", "*.example.com", 1)); status != http.StatusConflict {
		t.Errorf("* above another tenant's name: got %d %v, want 409", status, got)
	}
	k.make("a", strings.Replace(other, "other.example.com", "b.films.example.org", 1)) // below one's own
	if status, got := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites", strings.Replace(other, `"name":"x"`, `"name":"x","rules":[`+strings.TrimSuffix(strings.Repeat(`{"path":"/a","response":[{"name":"A","value":"`+strings.Repeat("<", 4000)+`"}]},`, 20), ",")+`]`, 1)); got["code"] != "limit" {
		t.Errorf("too much to tell: got %d %v", status, got)
	}
	if held, err := holds(t, k, "a"); held != "2 sites" || err != nil {
		t.Errorf("holds: %q, %v", held, err)
	}
	if status, _ := k.ask("a", guard.SitesWrite, http.MethodDelete, "/v1/sites/"+made, ""); status != http.StatusNoContent {
		t.Errorf("delete: got %d", status)
	}
	if status, _ := k.ask("a", guard.SitesRead, http.MethodGet, "/v1/sites/"+made, ""); status != http.StatusNotFound {
		t.Errorf("after deletion: got %d", status)
	}
	k.make("a", example) // the names are free again
}

func holds(t *testing.T, k *cloud, tenant string) (held string, err error) {
	err = k.deps.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		held, err = Holds(tx, tenant)
		return err
	})
	return held, err
}

// follower is an edge as far as this package is concerned.
type follower struct {
	revision int64
	marks    map[string]int64 // sites and nodes
	purged   []string
}

// take applies what an answer says. It is the contract of Delta in a few lines.
func (f *follower) take(d edge.Delta) {
	if d.Whole {
		f.marks = map[string]int64{}
	}
	for _, of := range d.Gone {
		delete(f.marks, of)
	}
	for _, site := range d.Sites {
		f.marks[site.ID] = site.Revision
	}
	for _, node := range d.Nodes {
		f.marks[node.ID] = node.Revision
	}
	for _, p := range d.Purges {
		if p.Revision > f.revision {
			f.purged = append(f.purged, p.Kind+" "+p.Value)
		}
	}
	f.revision = d.Revision
}

func (f *follower) sum() (sum uint64) {
	for of, revision := range f.marks {
		sum += edge.Mark(of, revision)
	}
	return sum
}

// pull asks until there is no more.
func (f *follower) pull(t *testing.T, k *cloud, node string) edge.Delta {
	t.Helper()
	for {
		question, err := json.Marshal(edge.Ask{Node: node, Revision: f.revision, Place: edge.Place{Name: "edge " + node[len(node)-1:]}})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := k.answer(t.Context(), node, question)
		if err != nil {
			t.Fatal(err)
		}
		d := answer.(edge.Delta)
		f.take(d)
		if !d.More {
			if d.Sum != f.sum() {
				t.Fatalf("at %d the sum is %x, told is %x", d.Revision, f.sum(), d.Sum)
			}
			return d
		}
	}
}

// Whoever takes all that is told, or asks at any moment, has the same.
func TestDelta(t *testing.T) {
	t.Parallel()
	both(t, testDelta)
}

// An answer fits into a message, however long what was purged is.
func TestDeltaFits(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	of := k.make("a", example)
	for n := range 300 {
		value := "www.example.org/?" + strconv.Itoa(n) + strings.Repeat("&", 4000)
		if _, err := k.purge(t.Context(), "a", edge.Purge{Site: of, Kind: edge.PurgeURL, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	f, seen := &follower{marks: map[string]int64{}}, 0
	for more := true; more; {
		d, err := since(t, k, f.revision)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(d)
		if err != nil || len(text) > bus.MaxMessage {
			t.Fatalf("an answer of %d bytes, %v", len(text), err)
		}
		seen += len(d.Purges)
		f.take(d)
		more = d.More
	}
	if seen != 300 {
		t.Errorf("%d purges are told, want 300", seen)
	}
}

func since(t *testing.T, k *cloud, revision int64) (d edge.Delta, err error) {
	err = k.deps.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		d, err = k.since(tx, edge.Ask{Revision: revision, Rest: revision > 0})
		return err
	})
	return d, err
}

// Nobody is sent to an edge by a name that a site has, for its viewers would get the site.
func TestEdgeWithTheNameOfASite(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	k.make("a", example)
	node := k.ids.New("nod")
	for range 2 { // the second time nothing changes
		if err := k.place(t.Context(), node, edge.Place{Name: "one", URL: "https://a.films.example.org:8443"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.bus.said) != 2 {
		t.Errorf("edges were told %d times of a site and an edge", len(k.bus.said))
	}
	if d, err := since(t, k, 0); err != nil || len(d.Nodes) != 1 || d.Nodes[0].URL != "" {
		t.Errorf("%+v, %v", d.Nodes, err)
	}
}

func testDelta(t *testing.T, k *cloud) {
	var ids id.Maker
	steady, late := &follower{marks: map[string]int64{}}, &follower{marks: map[string]int64{}}
	one := ids.New("nod")
	steady.pull(t, k, one)
	heard := len(k.bus.said)
	var sites []string
	for n := range 12 {
		sites = append(sites, k.make("a", strings.NewReplacer("WWW", "www"+strconv.Itoa(n), "*.films", "*.films"+strconv.Itoa(n)).Replace(example)))
	}
	for n, of := range sites {
		switch n % 3 {
		case 0:
			k.ask("a", guard.SitesWrite, http.MethodDelete, "/v1/sites/"+of, "")
		case 1:
			k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites/"+of+"/purges", `{"kind":"all"}`)
		}
	}
	for _, d := range k.bus.said[heard:] {
		if d.From != steady.revision {
			t.Fatalf("told is what comes after %d, and known is %d", d.From, steady.revision)
		}
		if steady.take(d); steady.sum() != d.Sum {
			t.Fatalf("at %d the sum is %x, told is %x", d.Revision, steady.sum(), d.Sum)
		}
	}
	late.pull(t, k, ids.New("nod"))
	steady.pull(t, k, one)
	if diff := cmp.Diff(late.marks, steady.marks); diff != "" || len(late.marks) != 8+2 {
		t.Errorf("(-late +steady)\n%s", diff)
	}
	if len(steady.purged) != 4 {
		t.Errorf("purged %v, want 4 times all", steady.purged)
	}

	// An edge that knows more than there is, as after a backup came back, is told all.
	ahead := &follower{revision: steady.revision + 1_000_000_000, marks: map[string]int64{"sit_gone": 1}}
	if d := ahead.pull(t, k, one); !d.Whole || len(ahead.marks) != 10 {
		t.Errorf("ahead: whole %v, %v", d.Whole, ahead.marks)
	}
	if _, err := k.answer(t.Context(), "x", []byte(`{"node":"x"}`)); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no node: %v", err)
	}
	strange := ids.New("nod")[:29] + "z"
	if _, err := k.answer(t.Context(), one, []byte(`{"node":"`+strange+`"}`)); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("in another one's name: %v", err)
	}
	if _, err := k.answer(t.Context(), strange, []byte(`{"node":"`+strange+`"}`)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a strange node: %v", err)
	}
	if err := k.Forget(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if late.pull(t, k, one); late.marks[one] == 0 { // who asks is there again
		t.Error("a node that came back is not there")
	}
}

// An edge that was away while more was purged than is kept purges everything.
func TestPurgesDropped(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	k.keep = 3
	var ids id.Maker
	of, node := k.make("a", example), ids.New("nod")
	f := &follower{marks: map[string]int64{}}
	f.pull(t, k, node)
	for n := range 5 {
		status, got := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites/"+of+"/purges", `{"kind":"tag","value":"t`+strconv.Itoa(n)+`"}`)
		if status != http.StatusAccepted {
			t.Fatalf("%d %v", status, got)
		}
	}
	if err := k.deps.DB.Write(t.Context(), k.dropOld); err != nil {
		t.Fatal(err)
	}
	f.pull(t, k, node)
	if diff := cmp.Diff([]string{"all ", "tag t2", "tag t3", "tag t4"}, f.purged); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// Who has nothing stored is told of no purge but one of everything, and that as the last
	// one there was: what a shield has stored since that is good.
	last := f.revision
	k.make("b", other)
	f.pull(t, k, node)
	want := []edge.Purge{{Revision: last, Kind: edge.PurgeAll, Hard: true}}
	if d, err := fresh(t, k); err != nil || !reflect.DeepEqual(d.Purges, want) || d.Revision != f.revision || f.revision == last || len(d.Sites) != 2 {
		t.Errorf("%+v, %v; want the purges %+v", d, err, want)
	}
	err := k.deps.DB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM purges")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := fresh(t, k); err != nil || len(d.Purges) != 1 || d.Purges[0].Revision >= last {
		t.Errorf("when only older ones were dropped: %+v, %v", d, err)
	}
}

// Where nothing was ever purged, who has nothing stored is told so.
func TestNeverPurged(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	k.make("a", example)
	if d, err := fresh(t, k); err != nil || len(d.Purges) > 0 || len(d.Sites) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// fresh is what an edge is told that has nothing stored.
func fresh(t *testing.T, k *cloud) (d edge.Delta, err error) {
	err = k.deps.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		d, err = k.since(tx, edge.Ask{Fresh: true})
		return err
	})
	return d, err
}

func TestPurge(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	now := time.Now()
	k.now = func() time.Time { return now }
	of := k.make("a", example)
	for body, want := range map[string]string{
		`{"kind":"url","value":"https://WWW.example.org/a b?q=1"}`: "www.example.org/a%20b?q=1",
		`{"kind":"url","value":"www.example.org:8080/a"}`:          "www.example.org:8080/a",
		`{"kind":"prefix","value":"x.films.example.org/films/*"}`:  "x.films.example.org/films/",
		`{"kind":"host","value":"www.example.org"}`:                "www.example.org",
		`{"kind":"tag","value":"series-7"}`:                        "series-7",
		`{"kind":"url","value":"other.example.org/a"}`:             "!",
		`{"kind":"url","value":"www.example.org"}`:                 "!",
		`{"kind":"prefix","value":"www.example.org/films"}`:        "!",
		`{"kind":"host","value":"www.example.org/films"}`:          "!",
		`{"kind":"tag","value":"a b"}`:                             "!",
		`{"kind":"all","value":"x"}`:                               "!",
		`{"kind":"nothing"}`:                                       "!",
	} {
		status, got := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites/"+of+"/purges", body)
		switch {
		case want == "!" && status/100 == 4:
		case status != http.StatusAccepted || got["value"] != want:
			t.Errorf("%s: got %d %v, want %s", body, status, got, want)
		}
	}
	if status, _ := k.ask("b", guard.SitesWrite, http.MethodPost, "/v1/sites/"+of+"/purges", `{"kind":"all"}`); status != http.StatusNotFound {
		t.Errorf("another tenant's: %d", status)
	}
	if status, _ := k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites/cloud/purges", `{"kind":"all"}`); status != http.StatusForbidden {
		t.Errorf("the cloud's: %d", status)
	}
	_, got := k.ask("a", guard.Admin, http.MethodPost, "/v1/sites/cloud/purges", `{"kind":"all"}`)
	if got["status"] != "done" || got["edges"] != 0.0 {
		t.Errorf("without edges: %v", got)
	}

	var ids id.Maker
	nodes := []string{ids.New("nod"), ids.New("nod"), ids.New("nod")}
	f := &follower{marks: map[string]int64{}}
	for _, node := range nodes {
		f.pull(t, k, node)
	}
	_, got = k.ask("a", guard.SitesWrite, http.MethodPost, "/v1/sites/"+of+"/purges", `{"kind":"all","hard":true}`)
	path := "/v1/sites/" + of + "/purges/" + got["id"].(string)
	revision, _ := strconv.ParseInt(got["id"].(string), 10, 64)
	k.report(edge.Report{Node: nodes[0], Revision: revision})
	k.report(edge.Report{Node: nodes[1], Revision: revision - 1})
	_, got = k.ask("a", guard.SitesRead, http.MethodGet, path, "")
	if got["status"] != "running" || got["done"] != 1.0 || len(got["waiting"].([]any)) != 1 || len(got["away"].([]any)) != 1 {
		t.Errorf("one of three: %v", got)
	}
	k.report(edge.Report{Node: nodes[1], Revision: revision})
	k.report(edge.Report{Node: nodes[2], Revision: revision})
	if _, got = k.ask("a", guard.SitesRead, http.MethodGet, path, ""); got["status"] != "done" || got["done"] != 3.0 {
		t.Errorf("all: %v", got)
	}
	if _, got = k.ask("a", guard.SitesRead, http.MethodGet, "/v1/sites/"+of+"/purges?limit=2", ""); len(got["data"].([]any)) != 2 || got["next"] == "" {
		t.Errorf("list: %v", got)
	}
}

func (k *cloud) report(r edge.Report) {
	k.t.Helper()
	r.Place.Name = "edge"
	data, err := json.Marshal(r)
	if err != nil {
		k.t.Fatal(err)
	}
	k.hear(k.t.Context(), r.Node, data)
}

func TestTraffic(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	now := time.Date(2026, 11, 29, 12, 0, 1, 0, time.UTC)
	k.now = func() time.Time { return now }
	of := k.make("a", example)
	var ids id.Maker
	node := ids.New("nod")
	(&follower{marks: map[string]int64{}}).pull(t, k, node)
	counts := edge.Counts{Requests: 10, Hits: 9, Bytes: 1000, Fetched: 100, Status: map[string]int64{"2xx": 9, "5xx": 1, "odd": 7}, Paths: map[string]int64{"/a": 8, "/b": 2}}
	k.report(edge.Report{Node: node, Seconds: 5, Load: 0.5, Sites: map[string]edge.Counts{of: counts}, Origins: map[string][]edge.OriginState{of: {{URL: "https://o", State: "up"}}}})
	now = now.Add(5 * time.Second)
	k.report(edge.Report{Node: node, Seconds: 5, Load: 0.5, Sites: map[string]edge.Counts{of: counts}})
	now = now.Add(5 * time.Second)
	k.report(edge.Report{Node: node, Seconds: 5, Load: 0.5, Sites: map[string]edge.Counts{of: counts}, Origins: map[string][]edge.OriginState{of: {{URL: "https://o", State: "up"}}}})
	status, got := k.ask("a", guard.SitesRead, http.MethodGet, "/v1/sites/"+of+"/traffic", "")
	want := map[string]any{
		"points": []any{
			map[string]any{"at": "2026-11-29T12:00:10Z", "requests": 20.0, "hits": 18.0, "bytes": 2000.0, "fetched": 200.0},
			map[string]any{"at": "2026-11-29T12:00:20Z", "requests": 10.0, "hits": 9.0, "bytes": 1000.0, "fetched": 100.0},
		},
		"status":  map[string]any{"2xx": 27.0, "5xx": 3.0},
		"paths":   []any{map[string]any{"path": "/a", "requests": 24.0}, map[string]any{"path": "/b", "requests": 6.0}},
		"origins": []any{map[string]any{"edge": "edge", "url": "https://o", "state": "up"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK {
		t.Errorf("status %d (-want +got)\n%s", status, diff)
	}
	k.report(edge.Report{Node: node, Load: 0.5, Stored: 9, Tenants: map[string]int64{"a": 4, "b": 5}}) // it says what is applied, and nothing of traffic
	_, got = k.ask("a", guard.NodesRead, http.MethodGet, "/v1/edges", "")
	shown := got["data"].([]any)[0].(map[string]any)
	if shown["state"] != "behind" || shown["requests"] != 2.0 || shown["egress"] != 1600.0 || shown["hit_ratio"] != 0.9 || shown["stored_own"] != 4.0 {
		t.Errorf("edges: %v", shown)
	}
	k.report(edge.Report{Node: node, Viewers: map[string]int64{"str_1": 3}})
	if n := k.Watching("str_1"); n != 3 || k.Watching("str_2") != 0 {
		t.Errorf("%d watch", n)
	}
	now = now.Add(time.Minute)
	if n := k.Watching("str_1"); n != 0 {
		t.Errorf("%d watch by an edge that is away", n)
	}
	if _, got = k.ask("a", guard.NodesRead, http.MethodGet, "/v1/edges", ""); got["data"].([]any)[0].(map[string]any)["state"] != "away" {
		t.Errorf("edges: %v", got)
	}
}

// What an edge hands over twice is counted once.
func TestUsage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, k *cloud) {
		var ids id.Maker
		u := edge.Usage{Node: ids.New("nod"), Number: 1, Day: "2026-11-29", Bytes: map[string]int64{"a": 5, "b": -1}}
		hand := func() error {
			data, err := json.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.takeUsage(t.Context(), ids.New("nod"), data); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("in another one's name: %v", err)
			}
			_, err = k.takeUsage(t.Context(), u.Node, data)
			return err
		}
		for _, number := range []int64{1, 1, 2, 2, 1} {
			if u.Number = number; hand() != nil {
				t.Fatal("not taken")
			}
		}
		if diff := cmp.Diff([]served{{"a", "2026-11-29", 5}, {"a", "2026-11-29", 5}}, k.served, cmp.AllowUnexported(served{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		u.Day = "yesterday"
		if err := hand(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("no day: %v", err)
		}
	})
}

// What becomes of films and streams is purged.
func TestFollow(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	for n, e := range []event.Event{
		{Type: event.AssetDeleted, Data: []byte(`{"id":"ast_1"}`)},
		{Type: event.AssetUpdated, Data: []byte(`{"id":"ast_2","status":"ready"}`)},
		{Type: event.AssetUpdated, Data: []byte(`{"id":"ast_3","status":"processing"}`)},
		{Type: event.StreamUpdated, Data: []byte(`{"id":"str_4"}`)},
		{Type: event.StreamLive, Data: []byte(`{"id":"str_5"}`)},
		{Type: event.StreamDeleted, Data: []byte(`[]`)},
	} {
		if err := k.follow(t.Context(), uint64(n), e); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, d := range k.bus.said {
		for _, p := range d.Purges {
			got = append(got, p.Site+" "+p.Kind+" "+p.Value+" "+strconv.FormatBool(p.Hard))
		}
	}
	if diff := cmp.Diff([]string{"cloud tag ast_1 true", "cloud tag ast_2 false", "cloud tag str_4 false"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Edges come page by page, the newest first.
func TestEdgesByPage(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	for n := range 5 {
		if err := k.place(t.Context(), fmt.Sprintf("nod_%026d", n), edge.Place{Name: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for after, pages := "", 0; pages == 0 || after != ""; pages++ {
		status, page := k.ask("a", guard.NodesRead, http.MethodGet, "/v1/edges?limit=2&after="+after, "")
		if status != http.StatusOK || pages > 3 {
			t.Fatalf("page %d: %d %v", pages, status, page)
		}
		for _, one := range page["data"].([]any) {
			names = append(names, one.(map[string]any)["name"].(string))
		}
		after, _ = page["next"].(string)
	}
	if diff := cmp.Diff([]string{"4", "3", "2", "1", "0"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A change is looked at without the records being locked. What somebody else has changed
// meanwhile is not undone.
func TestChangesMeet(t *testing.T) {
	t.Parallel()
	k := newCloud(t, store.Config{})
	of := k.make("a", example)
	check, other := k.deps.CheckRules, 0
	k.deps.CheckRules = func(rules []edge.Rule) error {
		if other++; other == 1 { // while the first one is looked at
			status, got := k.ask("a", guard.SitesWrite, http.MethodPut, "/v1/sites/"+of+"/certificate", `{"certificate":"good","key":"x"}`)
			if status != http.StatusOK {
				t.Errorf("meanwhile: got %d %v", status, got)
			}
		}
		return check(rules)
	}
	status, got := k.ask("a", guard.SitesWrite, http.MethodPut, "/v1/sites/"+of, strings.Replace(example, "Films", "More films", 1))
	if status != http.StatusOK || got["name"] != "More films" {
		t.Errorf("got %d %v", status, got)
	}
	var r record
	err := k.deps.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
		r, err = get(tx, "a", of)
		return err
	})
	if err != nil || r.Certificate != "good" || other != 3 {
		t.Errorf("certificate %q, %d checks, %v", r.Certificate, other, err)
	}
}
