package cache

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
)

// apply applies a purge to marks alone.
func (m *marks) apply(t testing.TB, p Purge, at time.Time) bool {
	t.Helper()
	is, err := p.target()
	if err != nil {
		t.Fatal(err)
	}
	r := markRecord{p.Site, is, mark{outdated: p.Sequence, at: at.UnixNano()}}
	if p.Effect == Forget {
		r.mark = mark{forgotten: p.Sequence}
	}
	return m.set(&r)
}

// keyFor is what an address is stored by when it is asked for at a site.
func keyFor(t testing.TB, site, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return (&Site{Name: site}).key(u.Host, u)
}

func TestPurgeConcerns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		kind    PurgeKind
		value   string
		address string
		want    bool
	}{
		{"everything", PurgeEverything, "", "http://a.test/x?y", true},
		{"a host", PurgeHost, "A.test", "http://a.test/x?y", true},
		{"a host at any port", PurgeHost, "a.test:80", "http://a.TEST:8443/x", true},
		{"a host with a dot at its end", PurgeHost, "a.test", "http://a.test./x", true},
		{"a host by its number", PurgeHost, "[::1]:80", "http://[::1]/x", true},
		{"a host within another", PurgeHost, "a.test", "http://b.a.test/x", false},
		{"an address", PurgeURL, "a.test/x?y", "http://a.test/x?y", true},
		{"an address with its scheme", PurgeURL, "HTTPS://a.test/x?y", "http://a.test/x?y", true},
		{"a query with an address in it", PurgeURL, "a.test/x?y=http://b/", "http://a.test/x?y=http://b/", true},
		{"no path", PurgeURL, "a.test", "http://a.test/", true},
		{"no path but a query", PurgeURL, "a.test?y", "http://a.test/?y", true},
		{"another query", PurgeURL, "a.test/x?y", "http://a.test/x?z", false},
		{"no query", PurgeURL, "a.test/x", "http://a.test/x?y", false},
		{"an empty query", PurgeURL, "a.test/x?", "http://a.test/x?", true},
		{"a path in another case", PurgeURL, "a.test/X", "http://a.test/x", false},
		{"a path that is encoded", PurgeURL, "a.test/%78%2fy", "http://a.test/x%2Fy", true},
		{"a path that need not be encoded", PurgeURL, "a.test/x", "http://a.test/%78", true},
		{"words of another language", PurgeURL, "a.test/流云 1?ü", "http://a.test/%E6%B5%81%E4%BA%91%201?%C3%BC", true},
		{"no encoding", PurgeURL, "a.test/%zz%4", "http://a.test/?%zz%4", false},
		{"a prefix", PurgePrefix, "a.test/x/", "http://a.test/x/y/z?q", true},
		{"a prefix with a star", PurgePrefix, "http://a.test/x/*", "http://a.test/x/y", true},
		{"a prefix itself", PurgePrefix, "a.test/x/", "http://a.test/x/", true},
		{"beside a prefix", PurgePrefix, "a.test/x/", "http://a.test/x", false},
		{"a name that begins so", PurgePrefix, "a.test/x/", "http://a.test/xy/", false},
		{"a whole host", PurgePrefix, "a.test", "http://a.test/x", true},
		{"any query", PurgePrefix, "a.test/x?", "http://a.test/x?y/?z", true},
		{"any query with a star", PurgePrefix, "a.test/x?*", "http://a.test/x?", true},
		{"no query of any", PurgePrefix, "a.test/x?", "http://a.test/x", true},
		{"any query of a whole name", PurgePrefix, "a.test/x?", "http://a.test/xy", false},
		{"a slash in a query", PurgePrefix, "a.test/x/", "http://a.test/?/x/", false},
		{"the deepest", PurgePrefix, "a.test" + strings.Repeat("/x", 31) + "/", "http://a.test" + strings.Repeat("/x", 80), true},
		{"the deepest, any query", PurgePrefix, "a.test" + strings.Repeat("/x", 31) + "?", "http://a.test" + strings.Repeat("/x", 31), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, site := range []string{"s", ""} {
				m := newMarks()
				m.apply(t, Purge{Sequence: 5, Site: site, Kind: test.kind, Value: test.value}, start())
				key := keyFor(t, "s", test.address)
				if got := m.judge(key, nil, 4).since.Equal(start()); got != test.want {
					t.Errorf("%q of site %q concerns %q: %v", test.value, site, key, got)
				}
				if m.judge(key, nil, 5) != (standing{}) {
					t.Error("it concerns what was asked for after it")
				}
				if site != "" && m.judge(keyFor(t, "other", test.address), nil, 0) != (standing{}) {
					t.Error("it concerns another site")
				}
			}
		})
	}
}

func TestPurgeTags(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		keys, tags []string
		value      string
		want       bool
	}{
		{"one of them", []string{"a b  c"}, nil, "b", true},
		{"in another line", []string{"a", "b"}, nil, "b", true},
		{"in another case", []string{"Film-1"}, nil, " film-1 ", true},
		{"a part of one", []string{"film-1"}, nil, "film", false},
		{"parted by commas", nil, []string{"a, b,,c"}, "b", true},
		{"a blank in one", nil, []string{"a b"}, "a b", true},
		{"a quote in one", nil, []string{`"a, b`}, "b", true},
		{"a comma in one", []string{"a,b"}, nil, "a,b", true},
		{"in both fields", []string{"a"}, []string{"b"}, "b", true},
	}
	for _, test := range tests {
		tags, ok := tagsOf(test.keys, test.tags)
		m := newMarks()
		m.apply(t, Purge{Sequence: 5, Site: "s", Kind: PurgeTag, Value: test.value}, start())
		if got := m.judge("s a.test /", tags, 4) != (standing{}); !ok || got != test.want {
			t.Errorf("%s: %v, kept %v", test.name, got, ok)
		}
	}
}

func TestInvalidPurges(t *testing.T) {
	t.Parallel()
	for _, p := range []Purge{
		{Sequence: 0, Kind: PurgeEverything},
		{Sequence: 1},
		{Sequence: 1, Kind: PurgeURL + 1},
		{Sequence: 1, Kind: PurgeEverything, Effect: Forget + 1},
		{Sequence: 1, Kind: PurgeEverything, Value: "a"},
		{Sequence: 1, Kind: PurgeEverything, Site: "a b"},
		{Sequence: 1, Kind: PurgeEverything, Site: strings.Repeat("a", 256)},
		{Sequence: 1, Kind: PurgeHost},
		{Sequence: 1, Kind: PurgeHost, Value: ":80"},
		{Sequence: 1, Kind: PurgeHost, Value: "*.example.org"},
		{Sequence: 1, Kind: PurgeHost, Value: "https://example.org"},
		{Sequence: 1, Kind: PurgeHost, Value: "bücher.example"},
		{Sequence: 1, Kind: PurgeURL, Value: "/film"},
		{Sequence: 1, Kind: PurgeURL, Value: "example.org/#a"},
		{Sequence: 1, Kind: PurgeURL, Value: "example.org/\n"},
		{Sequence: 1, Kind: PurgeURL, Value: "example.org/" + strings.Repeat("a", 8<<10)},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org/a"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org/a*"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org*"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org/a?b"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org/a?b?"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org/a?b/"},
		{Sequence: 1, Kind: PurgePrefix, Value: "example.org" + strings.Repeat("/x", 32) + "/"},
		{Sequence: 1, Kind: PurgeTag, Value: " "},
		{Sequence: 1, Kind: PurgeTag, Value: strings.Repeat("a", 1025)},
	} {
		if err := p.Validate(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// Purges may come twice and in any order.
func TestMarksOutOfOrder(t *testing.T) {
	t.Parallel()
	m := newMarks()
	purge := func(sequence int64, effect Effect, at time.Duration) bool {
		return m.apply(t, Purge{Sequence: sequence, Kind: PurgeURL, Value: "a.test/", Effect: effect}, start().Add(at))
	}
	says := func(asOf int64, want standing) {
		t.Helper()
		if got := m.judge("s a.test /", nil, asOf); got.gone != want.gone || !got.since.Equal(want.since) {
			t.Errorf("asked for as of %d: %+v, want %+v", asOf, got, want)
		}
	}
	soft := func(at time.Duration) standing { return standing{since: start().Add(at)} }
	if !purge(7, Outdate, 0) || purge(7, Outdate, time.Hour) || purge(5, Outdate, time.Hour) {
		t.Error("it changes something twice, or not once")
	}
	says(4, soft(0))
	says(6, soft(0))
	says(7, standing{})
	if !purge(5, Forget, 0) {
		t.Error("the other effect was not applied")
	}
	says(4, standing{gone: true, since: start()})
	says(5, soft(0))
	if purge(4, Outdate, 0) || purge(4, Forget, 0) {
		t.Error("it says no more than there is")
	}
	if !purge(9, Outdate, time.Minute) {
		t.Error("a later one was not applied")
	}
	says(7, soft(time.Minute))
	if m.latest.Load() != 9 {
		t.Errorf("the latest is %d", m.latest.Load())
	}
}

// A response that nothing was said of is asked about again when something is, be it of a
// purge that was ordered before.
func TestStandingIsRemembered(t *testing.T) {
	t.Parallel()
	m := newMarks()
	r := head(t, 200, Policy{}, "Cache-Control", "max-age=60", "Surrogate-Key", "one")
	r.asOf = 3
	check := func(want bool) {
		t.Helper()
		for range 2 {
			if got := m.standing("s a.test /", r) != (standing{}); got != want {
				t.Errorf("purged: %v", got)
			}
		}
	}
	check(false)
	m.apply(t, Purge{Sequence: 9, Kind: PurgeTag, Value: "two"}, start())
	check(false)
	m.apply(t, Purge{Sequence: 8, Kind: PurgeTag, Value: "one"}, start())
	check(true)
}

// Marks that are taken together say what each of them did, of its site, and nothing of
// what was asked for after the last of them.
func TestFold(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	m, all := newMarks(), newMarks()
	const most, purges = 200, 5000
	last := int64(0)
	for n := range purges {
		p := Purge{Sequence: last + 1, Site: "s" + strconv.Itoa(random.IntN(3)), Kind: PurgeTag, Value: strconv.Itoa(random.IntN(1000)), Effect: Effect(random.IntN(2))}
		last++
		if n%100 == 50 {
			p.Sequence -= random.Int64N(50) // late
		}
		for _, to := range []*marks{m, all} {
			to.apply(t, p, start().Add(time.Duration(p.Sequence)))
		}
		m.fold(most)
		if m.count > most {
			t.Fatalf("there are %d marks", m.count)
		}
	}
	more := 0
	for range 100_000 {
		key := "s" + strconv.Itoa(random.IntN(3)) + " a.test /"
		tags, _ := tagsOf([]string{strconv.Itoa(random.IntN(1000))}, nil)
		asOf := random.Int64N(last + 1)
		got, want := m.judge(key, tags, asOf), all.judge(key, tags, asOf)
		if want.gone && !got.gone || !want.since.IsZero() && got.since.IsZero() {
			t.Fatalf("as of %d: %+v, without folding %+v", asOf, got, want)
		}
		if got != (standing{}) && want == (standing{}) {
			more++
			if asOf > last-100 {
				t.Fatalf("as of %d, of %d purges: %+v, without folding nothing", asOf, last, got)
			}
		}
	}
	if more == 0 {
		t.Error("nothing was folded")
	}
}

// Sites without end are marks without end: these are taken together too.
func TestFoldSites(t *testing.T) {
	t.Parallel()
	m := newMarks()
	for n := range int64(1000) {
		m.apply(t, Purge{Sequence: n + 1, Site: "s" + strconv.FormatInt(n, 10), Kind: PurgeHost, Value: "a.test"}, start())
		m.fold(100)
	}
	if m.count > 100 {
		t.Errorf("there are %d marks", m.count)
	}
	for n := range int64(1000) {
		if m.judge(fmt.Sprintf("s%d a.test /", n), nil, n) == (standing{}) {
			t.Fatalf("the purge of site %d is lost", n)
		}
	}
	if m.judge("s999 a.test /", nil, 1000) != (standing{}) {
		t.Error("it concerns what was asked for after it")
	}
}

// Whatever is taken as an address to purge concerns a request for it.
func FuzzPurge(f *testing.F) {
	for _, value := range []string{"example.org/a/b?c", "https://EXAMPLE.org:80/%2F/", "[::1]/a%3fb?c/d", "a/b?", "a/流云", "a?b//", "a/%zz"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, kind := range []PurgeKind{PurgeURL, PurgePrefix} {
			p := Purge{Sequence: 1, Site: "s", Kind: kind, Value: value}
			if err := p.Validate(); err != nil {
				if fault.CodeOf(err) != fault.Invalid {
					t.Errorf("%q: %v", value, err)
				}
				continue
			}
			host, path := cutAddress(value)
			ends := []string{""}
			if kind == PurgePrefix {
				path = strings.TrimSuffix(path, "*")
				ends = []string{"", "x/y?z", "?/", "%41"}
			}
			for _, end := range ends {
				u, err := url.Parse("http://" + host + path + end)
				if err != nil {
					continue // nobody can ask for that
				}
				r := &http.Request{Method: http.MethodGet, Host: u.Host, URL: u}
				if !sane(r) {
					continue
				}
				m := newMarks()
				m.apply(t, p, start())
				if key := (&Site{Name: "s"}).key(r.Host, r.URL); m.judge(key, nil, 0) == (standing{}) {
					t.Errorf("kind %d, %q does not concern %q", kind, value, key)
				}
			}
		}
	})
}

// No bytes on a disk make a mark that is not what was written.
func FuzzMark(f *testing.F) {
	r := markRecord{"site", target{PurgeURL, 5}, mark{1, 2, 3}}
	f.Add(r.key(), r.encode())
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, key, data []byte) {
		if r, err := decodeMark(key, data); err == nil && (string(r.key()) != string(key) || string(r.encode()) != string(data)) {
			t.Errorf("%x: %x is %+v", key, data, r)
		}
	})
}

// FuzzTags: a response has each tag that it is said to have, or is not stored.
func FuzzTags(f *testing.F) {
	f.Add("a b", "c, d")
	f.Fuzz(func(t *testing.T, keys, tags string) {
		hashes, ok := tagsOf([]string{keys}, []string{tags})
		if !ok {
			return
		}
		m := newMarks()
		for _, tag := range append(strings.Split(keys, " "), strings.Split(tags, ",")...) {
			p := Purge{Sequence: 1, Site: "s", Kind: PurgeTag, Value: tag}
			if p.Validate() != nil || strings.Trim(tag, " \t") == "" || strings.Contains(tag, "\t") {
				continue
			}
			m.apply(t, p, start())
			if m.judge("s a.test /", hashes, 0) == (standing{}) {
				t.Errorf("%q is not among %q and %q", tag, keys, tags)
			}
			m = newMarks()
		}
	})
}

// BenchmarkStanding is what a hit pays for marks: what is newer than all or was looked at
// since the last purge, and the first one after a purge.
func BenchmarkStanding(b *testing.B) {
	r := newResponse("liuyun", 200, http.Header{"Cache-Control": {"max-age=60"}, "Surrogate-Key": {"film-1 season-2 news front page"}}, start(), start(), Policy{})
	const key = "site www.example.org /films/2026/season-2/film-1/segment-00042.m4s?token=none"
	kinds := [...]PurgeKind{PurgeHost, PurgePrefix, PurgeTag, PurgeURL}
	values := [...]string{"host%d.example.org", "www.example.org/films/%d/", "film-9%d", "www.example.org/films/%d.mp4"}
	for _, count := range []int64{0, 100_000} {
		m := newMarks()
		for n := range count {
			m.apply(b, Purge{Sequence: n + 1, Site: "site", Kind: kinds[n%4], Value: fmt.Sprintf(values[n%4], n)}, start())
		}
		b.Run(fmt.Sprintf("marks=%d/known", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.standing(key, r)
			}
		})
		b.Run(fmt.Sprintf("marks=%d/first", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.checked.Store(1 << 63)
				m.standing(key, r)
			}
		})
	}
}
