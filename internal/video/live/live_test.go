package live

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// told is a bus that keeps what it is told.
type told struct {
	mu     sync.Mutex
	events []event.Event
	health int
}

func (b *told) Emit(tx *store.Tx, e event.Event) error {
	tx.AfterCommit(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	})
	return nil
}

func (b *told) Announce(event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.health++
	return nil
}

func (b *told) kinds() (kinds []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		kinds = append(kinds, e.Type)
	}
	return kinds
}

// cloud is the service behind its API.
type cloud struct {
	*Service
	bus *told
	api http.Handler
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), t.TempDir(), store.DefaultConfig(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	c := &cloud{bus: &told{}}
	c.Service = New(Deps{
		DB: db, Bus: c.bus, Signer: guard.NewSigner(make([]byte, 32)), Config: DefaultConfig(), Log: log, Node: "nod_1", Folder: t.TempDir(),
		SignedFor: time.Hour, Reach: func(l string) string { return l }, Room: func() error { return nil }, Served: func(string, int64) {}, Answered: func(int64) {},
	})
	api := web.New(web.Options{Title: "t", Version: "1", Authenticate: authenticate, Log: log})
	c.Routes(api)
	c.api = api.Handler()
	return c
}

// authenticate knows keys such as "ten_a assets:read".
func authenticate(r *http.Request) (guard.Principal, error) {
	words := strings.Fields(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if len(words) == 0 {
		return guard.Principal{}, fault.New(fault.Forbidden, "no key")
	}
	return guard.Principal{Tenant: words[0], Scopes: words[1:]}, nil
}

const writer = "ten_a assets:read assets:write"

// call asks the API and wants a status.
func (c *cloud) call(t *testing.T, key string, want int, method, path, body string, headers ...string) (s Stream, etag string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, r)
	if w.Code != want {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, w.Code, want, w.Body)
	}
	if w.Code < 300 && w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
	}
	return s, w.Header().Get("ETag")
}

func TestAPI(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	made, etag := c.call(t, writer, 201, "POST", "/v1/streams", `{"name":" Town\nhall "}`)
	key := made.Ingest.RTMP.Key
	if made.Name != "Town hall" || made.Status != Idle || !strings.HasPrefix(key, "lys_") || len(key) < 28 || made.Health != nil {
		t.Errorf("made %+v", made)
	}
	path := "/v1/streams/" + made.ID
	if want := "/play/" + made.ID + "/master.m3u8"; made.Playback.HLS != want || made.Playback.Expires != nil {
		t.Errorf("plays at %+v, want %s", made.Playback, want)
	}
	got, again := c.call(t, writer, 200, "GET", path, "")
	if got.Ingest.RTMP.Key != "" || again != etag {
		t.Errorf("the key is shown again: %+v", got)
	}
	c.call(t, writer, 200, "PATCH", path, `{"name":"hall","playback_policy":"signed"}`, "If-Match", etag)
	c.call(t, writer, 412, "PATCH", path, `{"name":"other"}`, "If-Match", etag)
	c.call(t, writer, 422, "PATCH", path, `{"playback_policy":"nobody"}`)
	got, etag = c.call(t, writer, 200, "GET", path, "")
	if got.Playback.Expires == nil || !strings.HasPrefix(got.Playback.HLS, "/play/~") {
		t.Errorf("a signed stream plays at %+v", got.Playback)
	}
	rotated, _ := c.call(t, writer, 200, "POST", path+"/keys?grace=60", "")
	if rotated.Ingest.RTMP.Key == "" || rotated.Ingest.RTMP.Key == key {
		t.Errorf("the key was not changed: %+v", rotated.Ingest)
	}
	c.call(t, writer, 412, "DELETE", path, "", "If-Match", etag)
	c.call(t, writer, 200, "POST", path+"/playback", `{"expires_in":60}`)
	for _, wrong := range []struct {
		key    string
		status int
	}{{"ten_b assets:read assets:write", 404}, {"ten_a assets:read", 403}, {"ten_a", 403}} {
		c.call(t, wrong.key, wrong.status, "DELETE", path, "")
		c.call(t, wrong.key, wrong.status, "PATCH", path, `{"name":"stolen"}`)
		c.call(t, wrong.key, wrong.status, "POST", path+"/keys", "")
	}
	c.call(t, "ten_b assets:read", 404, "GET", path, "")
	c.call(t, "ten_b assets:read", 404, "POST", path+"/playback", `{}`)
	c.call(t, writer, 204, "DELETE", path, "")
	c.call(t, writer, 404, "GET", path, "")
	want := []string{event.StreamCreated, event.StreamUpdated, event.StreamUpdated, event.StreamDeleted}
	if diff := cmp.Diff(want, c.bus.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, e := range c.bus.events {
		if strings.Contains(string(e.Data), "lys_") {
			t.Errorf("an event has a key in it: %s", e.Data)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for range 3 {
		c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	}
	c.call(t, "ten_b assets:write", 201, "POST", "/v1/streams", `{}`)
	list := func(query string) web.Page[*Stream] {
		r := httptest.NewRequest("GET", "/v1/streams?"+query, nil)
		r.Header.Set("Authorization", "Bearer "+writer)
		w := httptest.NewRecorder()
		c.api.ServeHTTP(w, r)
		var page web.Page[*Stream]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		return page
	}
	first := list("limit=2")
	rest := list("limit=2&after=" + first.Next)
	if len(first.Data) != 2 || len(rest.Data) != 1 || rest.Next != "" || first.Data[0].ID < first.Data[1].ID {
		t.Errorf("pages of %d and %d", len(first.Data), len(rest.Data))
	}
	if live := list("status=live"); len(live.Data) != 0 {
		t.Errorf("%d streams are live", len(live.Data))
	}
	if err := c.setStatus(t.Context(), first.Data[0].ID, Live); err != nil {
		t.Fatal(err)
	}
	if live := list("status=live"); len(live.Data) != 1 || live.Data[0].LiveSince == nil {
		t.Errorf("live are %+v", live.Data)
	}
}

// Keys let in for as long as they should, and only where they belong.
func TestKeys(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	first := made.Ingest.RTMP.Key
	wantAdmitted := func(key string, want bool) {
		t.Helper()
		r, err := c.admit(t.Context(), key)
		if (err == nil) != want || (want && r.ID != made.ID) {
			t.Errorf("%v, %v; want to be let in: %v", r, err, want)
		}
	}
	wantAdmitted(first, true)
	wantAdmitted("", false)
	wantAdmitted(first+"x", false)
	wantAdmitted(strings.ToUpper(first), false)
	second, _ := c.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/keys?grace=600", "")
	wantAdmitted(first, true)
	wantAdmitted(second.Ingest.RTMP.Key, true)
	third, _ := c.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/keys", "")
	wantAdmitted(first, false)
	wantAdmitted(second.Ingest.RTMP.Key, false)
	wantAdmitted(third.Ingest.RTMP.Key, true)
	r := stream{Key: "a", OldKey: "b", OldUntil: time.Unix(100, 0)}
	if !r.admits("b", time.Unix(99, 0)) || r.admits("b", time.Unix(100, 0)) {
		t.Error("an old key lets in until its time is over, and no longer")
	}
}

// A tenant with streams is held.
func TestHolds(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	err := c.DB.Read(t.Context(), func(tx *store.Tx) error {
		for tenant, want := range map[string]string{"ten_a": "1 stream", "ten_b": ""} {
			if got, err := Holds(tx, tenant); got != want || err != nil {
				t.Errorf("%s holds %q, %v; want %q", tenant, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlayRefuses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	open, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	closed, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"playback_policy":"signed"}`)
	signed := strings.TrimSuffix(closed.Playback.HLS, "/master.m3u8")
	tests := []struct {
		method, path string
		status       int
	}{
		{"GET", "/play/" + open.ID + "/master.m3u8", 503}, // nothing has come yet
		{"GET", "/play/" + closed.ID + "/master.m3u8", 403},
		{"GET", signed + "/master.m3u8", 503},
		{"GET", strings.Replace(signed, closed.ID, open.ID, 1) + "/master.m3u8", 403},
		{"GET", "/play/str_00000000000000000000000000/master.m3u8", 404},
		{"GET", "/play/" + open.ID + "/../x", 503},
		{"POST", "/play/" + open.ID + "/master.m3u8", 405},
		{"OPTIONS", "/play/" + open.ID + "/master.m3u8", 204},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, "/", nil)
		r.URL.Path = test.path
		w := httptest.NewRecorder()
		c.Play().ServeHTTP(w, r)
		if w.Code != test.status || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: %d %v, want %d", test.method, test.path, w.Code, w.Header(), test.status)
		}
		if w.Code >= 400 && w.Code != 405 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %v", test.path, w.Header())
		}
	}
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	for query, ok := range map[string]bool{
		"": true, "_HLS_msn=3": true, "_HLS_msn=3&_HLS_part=0&_HLS_skip=YES": true, "_HLS_skip=v2": true, "other=1": true,
		"_HLS_part=1": false, "_HLS_msn=-1": false, "_HLS_msn=x": false, "_HLS_msn=99999999999999999999": false, "_HLS_skip=no": false,
	} {
		r := httptest.NewRequest("GET", "/?"+query, nil)
		if q, err := parseQuery(r.URL.Query()); (err == nil) != ok {
			t.Errorf("%q: %+v, %v", query, q, err)
		}
	}
}

// FuzzPlay: whatever viewers ask for, a stream's id is one, and numbers are none below
// zero but where nothing is asked.
func FuzzPlay(f *testing.F) {
	const id = "str_06h2115vcwapkknw50pjvd2jbc"
	f.Add("/play/"+id+"/video/media.m3u8", "_HLS_msn=3&_HLS_part=0&_HLS_skip=YES")
	f.Add("/play/~token/"+id+"/whep/session", "_HLS_part=1")
	f.Add("/play/~/../"+id, "_HLS_msn=-1&_HLS_msn=%zz;")
	f.Fuzz(func(t *testing.T, path, query string) {
		if to, ok := parseTarget(path); ok != Plays(path) || ok && (strings.Contains(to.stream, "/") || strings.Contains(to.token, "/") || !strings.HasPrefix(to.stream, "str_")) {
			t.Errorf("%q is taken for %+v", path, to)
		}
		values, _ := url.ParseQuery(query)
		q, err := parseQuery(values)
		if err == nil && (q.MSN < -1 || q.Part < -1 || q.Part >= 0 && q.MSN < 0) {
			t.Errorf("%q is taken for %+v", query, q)
		}
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", query, err)
		}
	})
}

func TestFollow(t *testing.T) {
	t.Parallel()
	gone, here, onAir, halted := facts{}, facts{present: true}, facts{present: true, onAir: true}, facts{halted: true}
	tests := []struct {
		from Status
		f    facts
		away time.Duration
		want Status
	}{
		{Idle, gone, 0, Idle},
		{Idle, here, 0, Connecting},
		{Connecting, here, 0, Connecting},
		{Connecting, gone, 0, Idle},
		{Connecting, onAir, 0, Live},
		{Live, onAir, 0, Live},
		{Live, gone, time.Second, Reconnecting},
		{Live, here, 0, Reconnecting}, // another one, without a picture yet
		{Reconnecting, gone, 29 * time.Second, Reconnecting},
		{Reconnecting, gone, 30 * time.Second, Idle},
		{Reconnecting, here, 0, Reconnecting},
		{Reconnecting, onAir, 0, Live},
		{Live, halted, time.Second, Idle},
		{Reconnecting, halted, time.Second, Idle},
		{Connecting, facts{present: true, halted: true}, 0, Idle},
	}
	for _, test := range tests {
		if got := follow(test.from, test.f, test.away); got != test.want {
			t.Errorf("%s with %+v for %s: %s, want %s", test.from, test.f, test.away, got, test.want)
		}
	}
}

// The states of a stream in time, with records that fail for a while.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now facts
		var states []Status
		broken := false
		wake := make(chan struct{}, 1)
		set := func(f facts) {
			mu.Lock()
			now = f
			mu.Unlock()
			wake <- struct{}{}
			synctest.Wait()
		}
		l := lifecycle{
			facts: func() facts { mu.Lock(); defer mu.Unlock(); return now },
			wake:  wake, log: slog.New(slog.DiscardHandler), second: func(Status) {},
			tell: func(_ context.Context, s Status) error {
				mu.Lock()
				defer mu.Unlock()
				if broken {
					return fault.New(fault.StorageFull, "no room")
				}
				states = append(states, s)
				return nil
			},
		}
		now = facts{present: true}
		ended := make(chan struct{})
		go func() { l.run(t.Context(), Connecting); close(ended) }()
		synctest.Wait()
		set(facts{present: true, onAir: true})
		time.Sleep(time.Minute)
		set(facts{})
		time.Sleep(20 * time.Second)
		set(facts{present: true, onAir: true}) // back in time
		mu.Lock()
		broken = true
		mu.Unlock()
		set(facts{})
		time.Sleep(10 * time.Second)
		mu.Lock()
		broken = false
		mu.Unlock()
		began := time.Now()
		<-ended
		if waited := time.Since(began); waited < 19*time.Second || waited > 22*time.Second {
			t.Errorf("idle %s after a third of the grace", waited)
		}
		want := []Status{Connecting, Live, Reconnecting, Live, Reconnecting, Idle}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestProblems(t *testing.T) {
	t.Parallel()
	well := ingest.Report{HasPictures: true, Length: 5 * time.Second, Pictures: 125, KeyInterval: 2 * time.Second}
	if list := problems(well, ingest.Quality{}, window.Health{}); len(list) != 0 {
		t.Errorf("problems of nothing: %v", list)
	}
	bad := ingest.Report{
		HasPictures: true, Length: 5 * time.Second, KeyInterval: 7 * time.Second, Open: true, Silence: 1, Holes: 1, Jumps: 1, Drift: -2 * time.Second, Changes: 1,
	}
	var codes []string
	for _, p := range problems(bad, ingest.Quality{Loss: 0.02}, window.Health{Disk: fault.New(fault.StorageFull, "full")}) {
		if p.NeedsTranscoding {
			p.Code += " transcode"
		}
		codes = append(codes, p.Code)
	}
	want := []string{"key_frames transcode", "open_gops transcode", "no_pictures", "sound_missing", "sound_missing transcode", "jumps", "drift", "format_changes", "loss", "storage"}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
