package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is when the responses of these tests were asked for and came.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func head(t *testing.T, status int, p Policy, fields ...string) *response {
	t.Helper()
	header := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		header.Add(fields[i], fields[i+1])
	}
	return newResponse("liuyun", status, header, start(), start(), p)
}

func at(d time.Duration) string { return start().Add(d).Format(http.TimeFormat) }

func TestDecide(t *testing.T) {
	t.Parallel()
	get := request{method: "GET"}
	tests := []struct {
		name   string
		q      request
		fields []string // of what is stored; nil for nothing
		p      Policy
		after  time.Duration
		want   verdict
	}{
		{"nothing is stored", get, nil, Policy{}, 0, verdict{action: fetch, forward: "uri-miss"}},
		{"another method", request{method: "POST"}, nil, Policy{}, 0, verdict{action: pass, forward: "method"}},
		{"conditions for the origin", request{method: "GET", unknown: true}, nil, Policy{}, 0, verdict{action: pass, forward: "request"}},
		{"nothing else is wanted", request{method: "GET", onlyIfCached: true}, nil, Policy{}, 0, verdict{action: refuse}},
		{"fresh", get, []string{"Cache-Control", "max-age=60"}, Policy{}, 10 * time.Second, verdict{action: serve, age: 10 * time.Second, ttl: 50 * time.Second}},
		{"fresh, the other method", request{method: "HEAD"}, []string{"Cache-Control", "max-age=60"}, Policy{}, 10 * time.Second, verdict{action: serve, age: 10 * time.Second, ttl: 50 * time.Second}},
		{"old when it came", get, []string{"Cache-Control", "max-age=60", "Age", "55"}, Policy{}, 10 * time.Second, verdict{action: fetch, forward: "stale", age: 65 * time.Second, ttl: -5 * time.Second}},
		{"stale, with a validator", get, []string{"Cache-Control", "max-age=60", "Etag", `"a"`}, Policy{}, 70 * time.Second, verdict{action: validate, forward: "stale", age: 70 * time.Second, ttl: -10 * time.Second}},
		{"always asked for", get, []string{"Cache-Control", "max-age=60, no-cache", "Etag", `"a"`}, Policy{}, 0, verdict{action: validate, forward: "stale", ttl: 60 * time.Second}},
		{"stale while it is validated", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, Policy{}, 80 * time.Second, verdict{action: refresh, forward: "stale", age: 80 * time.Second, ttl: -20 * time.Second}},
		{"no longer", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, Policy{}, 90 * time.Second, verdict{action: fetch, forward: "stale", age: 90 * time.Second, ttl: -30 * time.Second}},
		{"never stale", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30, must-revalidate"}, Policy{}, 80 * time.Second, verdict{action: fetch, forward: "stale", age: 80 * time.Second, ttl: -20 * time.Second}},
		{"stale on error", get, []string{"Cache-Control", "max-age=60, stale-if-error=30"}, Policy{}, 80 * time.Second, verdict{action: fetch, forward: "stale", onError: true, age: 80 * time.Second, ttl: -20 * time.Second}},
		{"stale on error by the operator", get, []string{"Cache-Control", "max-age=60"}, Policy{StaleIfError: 30 * time.Second}, 80 * time.Second, verdict{action: fetch, forward: "stale", onError: true, age: 80 * time.Second, ttl: -20 * time.Second}},
		{"the response says less", get, []string{"Cache-Control", "max-age=60, stale-if-error=5"}, Policy{StaleIfError: time.Hour}, 80 * time.Second, verdict{action: fetch, forward: "stale", age: 80 * time.Second, ttl: -20 * time.Second}},
		{"shared caches may not", get, []string{"Cache-Control", "s-maxage=60"}, Policy{StaleIfError: time.Hour}, 80 * time.Second, verdict{action: fetch, forward: "stale", age: 80 * time.Second, ttl: -20 * time.Second}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stored *response
			if test.fields != nil {
				stored = head(t, 200, test.p, test.fields...)
			}
			got := decide(start().Add(test.after), test.q, stored, standing{}, test.p)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is purged is stale from the purge on, or not there.
func TestDecidePurged(t *testing.T) {
	t.Parallel()
	get := request{method: "GET"}
	outdated := func(after time.Duration) standing { return standing{since: start().Add(after)} }
	const s = time.Second
	tests := []struct {
		name   string
		q      request
		fields []string
		s      standing
		p      Policy
		after  time.Duration
		want   verdict
	}{
		{"fresh otherwise", get, []string{"Cache-Control", "max-age=60"}, outdated(10 * s), Policy{}, 15 * s, verdict{action: fetch, forward: "stale", age: 15 * s, ttl: -5 * s}},
		{"with a validator", get, []string{"Cache-Control", "max-age=60", "Etag", `"a"`}, outdated(10 * s), Policy{}, 15 * s, verdict{action: validate, forward: "stale", age: 15 * s, ttl: -5 * s}},
		{"just now", get, []string{"Cache-Control", "max-age=60"}, outdated(15 * s), Policy{}, 15 * s, verdict{action: fetch, forward: "stale", age: 15 * s}},
		{"by a clock that went back", get, []string{"Cache-Control", "max-age=60"}, outdated(1000 * s), Policy{}, 15 * s, verdict{action: fetch, forward: "stale", age: 15 * s}},
		{"by a clock that was never right", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, standing{since: time.Unix(0, -1<<63)}, Policy{}, 15 * s, verdict{action: fetch, forward: "stale", age: 15 * s, ttl: -longest}},
		{"stale while it is validated", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, outdated(10 * s), Policy{}, 39 * s, verdict{action: refresh, forward: "stale", age: 39 * s, ttl: -29 * s}},
		{"no longer", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, outdated(10 * s), Policy{}, 40 * s, verdict{action: fetch, forward: "stale", age: 40 * s, ttl: -30 * s}},
		{"it was stale already", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30"}, outdated(85 * s), Policy{}, 90 * s, verdict{action: fetch, forward: "stale", age: 90 * s, ttl: -30 * s}},
		{"never stale", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30, must-revalidate"}, outdated(10 * s), Policy{}, 15 * s, verdict{action: fetch, forward: "stale", age: 15 * s, ttl: -5 * s}},
		{"stale on error", get, []string{"Cache-Control", "max-age=60"}, outdated(10 * s), Policy{StaleIfError: 10 * s}, 15 * s, verdict{action: fetch, forward: "stale", onError: true, age: 15 * s, ttl: -5 * s}},
		{"no longer on error", get, []string{"Cache-Control", "max-age=60"}, outdated(10 * s), Policy{StaleIfError: 10 * s}, 20 * s, verdict{action: fetch, forward: "stale", age: 20 * s, ttl: -10 * s}},
		{"nothing else is wanted", request{method: "GET", onlyIfCached: true}, []string{"Cache-Control", "max-age=60"}, outdated(10 * s), Policy{}, 15 * s, verdict{action: refuse}},
		{"forgotten", get, []string{"Cache-Control", "max-age=60, stale-while-revalidate=30", "Etag", `"a"`}, standing{gone: true}, Policy{StaleIfError: time.Hour}, 15 * s, verdict{action: fetch, forward: "uri-miss"}},
		{"forgotten and outdated", get, []string{"Cache-Control", "max-age=60"}, standing{gone: true, since: start()}, Policy{}, 15 * s, verdict{action: fetch, forward: "uri-miss"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := decide(start().Add(test.after), test.q, head(t, 200, test.p, test.fields...), test.s, test.p)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		status   int
		fields   []string
		p        Policy
		lifetime time.Duration
		explicit bool
	}{
		{"shared caches have their own", 200, []string{"Cache-Control", "max-age=1, s-maxage=60"}, Policy{}, time.Minute, true},
		{"in two lines", 200, []string{"Cache-Control", "max-age=1", "Cache-Control", "s-maxage=60"}, Policy{}, time.Minute, true},
		{"the less of two", 200, []string{"Cache-Control", "max-age=60, max-age=1"}, Policy{}, time.Second, true},
		{"in quotes", 200, []string{"Cache-Control", `max-age="60"`}, Policy{}, time.Minute, true},
		{"within quotes of another", 200, []string{"Cache-Control", `x="max-age=60", max-age=1`}, Policy{}, time.Second, true},
		{"no number", 200, []string{"Cache-Control", "max-age=a"}, Policy{}, 0, true},
		{"negative", 200, []string{"Cache-Control", "max-age=-5"}, Policy{}, 0, true},
		{"without a value", 200, []string{"Cache-Control", "max-age"}, Policy{}, 0, true},
		{"for ever", 200, []string{"Cache-Control", "max-age=99999999999999999999"}, Policy{}, longest, true},
		{"a date", 200, []string{"Expires", at(time.Minute), "Date", at(0)}, Policy{}, time.Minute, true},
		{"a date after another clock", 200, []string{"Expires", at(2 * time.Minute), "Date", at(time.Minute)}, Policy{}, time.Minute, true},
		{"no date", 200, []string{"Expires", "0"}, Policy{DefaultTTL: time.Minute}, 0, true},
		{"an age before a date", 200, []string{"Expires", at(time.Hour), "Cache-Control", "max-age=60"}, Policy{}, time.Minute, true},
		{"a guess", 200, []string{"Last-Modified", at(-10 * time.Minute)}, Policy{}, time.Minute, false},
		{"a guess is a day at most", 200, []string{"Last-Modified", at(-1000 * time.Hour)}, Policy{}, 24 * time.Hour, false},
		{"no guess", 302, []string{"Last-Modified", at(-10 * time.Minute)}, Policy{}, 0, false},
		{"no guess with a cookie", 200, []string{"Last-Modified", at(-10 * time.Minute), "Set-Cookie", "a=b"}, Policy{DefaultTTL: time.Minute}, 0, false},
		{"the operator's", 404, nil, Policy{DefaultTTL: time.Minute}, time.Minute, false},
		{"for caches of this kind", 200, []string{"Cdn-Cache-Control", "max-age=60", "Cache-Control", "no-store, max-age=1"}, Policy{}, time.Minute, true},
		{"nothing for them", 200, []string{"Cdn-Cache-Control", "", "Cache-Control", "max-age=60"}, Policy{}, time.Minute, true},
		{"malformed for them", 200, []string{"Cdn-Cache-Control", "max-age=60,,", "Cache-Control", "max-age=1"}, Policy{}, time.Second, true},
		{"for surrogates", 200, []string{"Surrogate-Control", "MaX-aGe=60, content=\"x\"", "Cache-Control", "no-store"}, Policy{}, time.Minute, true},
		{"for this one", 200, []string{"Surrogate-Control", "max-age=60;liuyun", "Cache-Control", "max-age=1"}, Policy{}, time.Minute, true},
		{"for another one", 200, []string{"Surrogate-Control", "max-age=60;other", "Cache-Control", "max-age=1"}, Policy{}, time.Second, true},
		{"a date is not for them", 200, []string{"Cdn-Cache-Control", "must-revalidate", "Expires", at(time.Hour)}, Policy{}, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := head(t, test.status, test.p, test.fields...)
			if r.lifetime != test.lifetime || r.explicit != test.explicit {
				t.Errorf("fresh for %v, explicit %v; want %v, %v", r.lifetime, r.explicit, test.lifetime, test.explicit)
			}
		})
	}
}

func TestStorable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		q      request
		status int
		fields []string
		want   bool
	}{
		{"fresh", request{}, 200, []string{"Cache-Control", "max-age=1"}, true},
		{"never fresh", request{}, 200, []string{"Cache-Control", "max-age=0"}, false},
		{"never fresh, with a validator", request{}, 200, []string{"Cache-Control", "max-age=0", "Etag", `"a"`}, true},
		{"never fresh, but stale", request{}, 200, []string{"Cache-Control", "max-age=0, stale-while-revalidate=5"}, true},
		{"nothing said", request{}, 200, nil, false},
		{"for one", request{}, 200, []string{"Cache-Control", "private, max-age=60"}, false},
		{"for one, a field of it", request{}, 200, []string{"Cache-Control", `private="set-cookie", max-age=60`}, false},
		{"not at all", request{}, 200, []string{"Cache-Control", "No-Store, max-age=60"}, false},
		{"the client will not have it", request{noStore: true}, 200, []string{"Cache-Control", "max-age=60"}, false},
		{"for one who said who he is", request{authorized: true}, 200, []string{"Cache-Control", "max-age=60"}, false},
		{"for all the same", request{authorized: true}, 200, []string{"Cache-Control", "public, max-age=60"}, true},
		{"chosen by anything", request{}, 200, []string{"Cache-Control", "max-age=60", "Vary", "a, *"}, false},
		{"any status, if it says so", request{}, 599, []string{"Cache-Control", "max-age=60"}, true},
		{"a status that has to be understood", request{}, 599, []string{"Cache-Control", "max-age=60, must-understand"}, false},
		{"understood in spite of no-store", request{}, 200, []string{"Cache-Control", "max-age=60, must-understand, no-store"}, true},
		{"a status without a guess", request{}, 403, []string{"Last-Modified", at(-time.Hour)}, false},
		{"with a cookie", request{}, 200, []string{"Cache-Control", "max-age=60", "Set-Cookie", "a=b"}, false},
		{"with a cookie for all", request{}, 200, []string{"Cache-Control", "public, max-age=60", "Set-Cookie", "a=b"}, true},
		{"chosen by who asks", request{}, 200, []string{"Cache-Control", "max-age=60", "Vary", "X-Forwarded-For"}, false},
		{"a part", request{}, 206, []string{"Cache-Control", "max-age=60"}, false},
		{"not modified", request{}, 304, []string{"Cache-Control", "max-age=60"}, false},
		{"tags", request{}, 200, []string{"Cache-Control", "max-age=60", "Surrogate-Key", strings.Repeat("a ", mostTags)}, true},
		{"more tags than are kept", request{}, 200, []string{"Cache-Control", "max-age=60", "Surrogate-Key", strings.Repeat("a ", mostTags), "Cache-Tag", "b"}, false},
		{"a tag that cannot be purged", request{}, 200, []string{"Cache-Control", "max-age=60", "Cache-Tag", strings.Repeat("a", mostTag+1)}, false},
		{"long tags", request{}, 200, []string{"Cache-Control", "max-age=60", "Cache-Tag", strings.Repeat(strings.Repeat("a", mostTag)+",", 17)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := head(t, test.status, Policy{}, test.fields...).storable(&test.q); got != test.want {
				t.Errorf("storable: %v", got)
			}
		})
	}
}

// A response is never younger than nothing, whatever its Date says.
func TestAge(t *testing.T) {
	t.Parallel()
	for _, date := range []string{"Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", at(-time.Hour)} {
		r := head(t, 200, Policy{}, "Cache-Control", "max-age=0", "Etag", `"a"`, "Date", date)
		for _, after := range []time.Duration{-time.Hour, 0, 1000 * time.Hour} {
			if v := decide(start().Add(after), request{method: "GET"}, r, standing{}, Policy{}); v.age < 0 || v.action != validate {
				t.Errorf("%s after %v: age %v, action %v", date, after, v.age, v.action)
			}
		}
	}
}

func TestVariant(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fields []string
		a, b   http.Header
		same   bool
	}{
		{nil, http.Header{"Foo": {"1"}}, http.Header{"Foo": {"2"}}, true},
		{[]string{"foo"}, http.Header{"Foo": {"1"}}, http.Header{"Foo": {"2"}}, false},
		{[]string{"foo"}, http.Header{"Foo": {""}}, http.Header{}, false},
		{[]string{"foo"}, http.Header{"Foo": {"1", "2"}}, http.Header{"Foo": {"1,  2"}}, true},
		{[]string{"foo"}, http.Header{"Foo": {"1; a = b"}}, http.Header{"Foo": {"1;a=b"}}, true},
		{[]string{"foo"}, http.Header{"Foo": {`"a, b"`}}, http.Header{"Foo": {`"a,b"`}}, false},
		{[]string{"foo"}, http.Header{"Foo": {"1, 2"}}, http.Header{"Foo": {"2, 1"}}, false},
		{[]string{"accept-language"}, http.Header{"Accept-Language": {"de, EN"}}, http.Header{"Accept-Language": {"en,de"}}, true},
		{[]string{"accept-encoding"}, http.Header{"Accept-Encoding": {"gzip;q=0"}}, http.Header{"Accept-Encoding": {"gzip"}}, false},
		{[]string{"a", "b"}, http.Header{"A": {"1\nb:2"}}, http.Header{"A": {"1"}, "B": {"2"}}, false},
	}
	for _, test := range tests {
		if got := variant(test.fields, test.a) == variant(test.fields, test.b); got != test.same {
			t.Errorf("%v: %v and %v are the same: %v", test.fields, test.a, test.b, got)
		}
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	stored := head(t, 200, Policy{}, "Etag", `"a"`, "Last-Modified", at(-time.Hour))
	tests := []struct {
		field, ifRange      string
		want                span
		partial, impossible bool
	}{
		{"", "", span{0, 10}, false, false},
		{"bytes=0-1", "", span{0, 2}, true, false},
		{"bytes=4-", "", span{4, 6}, true, false},
		{"bytes=-3", "", span{7, 3}, true, false},
		{"bytes=-30", "", span{0, 10}, true, false},
		{"bytes=5-99999999999999999999", "", span{5, 5}, true, false},
		{"bytes=10-", "", span{}, true, true},
		{"bytes=-0", "", span{10, 0}, true, true},
		{"bytes=5-4", "", span{0, 10}, false, false},
		{"bytes=a-4", "", span{0, 10}, false, false},
		{"bytes=0-1,3-4", "", span{0, 10}, false, false},
		{"items=0-1", "", span{0, 10}, false, false},
		{"bytes=0-1", `"a"`, span{0, 2}, true, false},
		{"bytes=0-1", `"b"`, span{0, 10}, false, false},
		{"bytes=0-1", `W/"a"`, span{0, 10}, false, false},
		{"bytes=0-1", at(-time.Hour), span{0, 2}, true, false},
		{"bytes=0-1", at(0), span{0, 10}, false, false},
	}
	for _, test := range tests {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
		if test.field != "" {
			r.Header.Set("Range", test.field)
		}
		if test.ifRange != "" {
			r.Header.Set("If-Range", test.ifRange)
		}
		want := extent{span: test.want, partial: test.partial, none: test.impossible, size: 10}
		if got := wanted(r, stored, 10); got != want {
			t.Errorf("%q if %q: %+v, want %+v", test.field, test.ifRange, got, want)
		}
	}
}

// Any request and any response get one answer, which is fresh where it is not said to
// be stale.
func FuzzDecide(f *testing.F) {
	f.Add("max-age=60, stale-while-revalidate=5", "max-age=1;x", "gzip, *", "abc", "only-if-cached", 200, int64(5), int64(1))
	f.Fuzz(func(t *testing.T, control, targeted, vary, age, asks string, status int, after, purged int64) {
		header := http.Header{"Cache-Control": {control}, "Cdn-Cache-Control": {targeted}, "Vary": {vary}, "Age": {age}}
		stored := newResponse("liuyun", status, header, start(), start(), Policy{})
		r := &http.Request{Method: http.MethodGet, Header: http.Header{"Cache-Control": {asks}, "Gzip": {vary}, "Range": {asks}, "If-None-Match": {age}}}
		q := readRequest(r)
		stored.storable(&q)
		notModified(r, stored)
		if s := wanted(r, stored, 100); s.offset < 0 || s.length < 0 || s.offset+s.length > 100 {
			t.Errorf("%q of 100 bytes: %+v", asks, s)
		}
		one := variant(stored.vary, r.Header)
		if again := variant(stored.vary, r.Header.Clone()); one != again {
			t.Errorf("a request is another variant the second time: %q, %q", one, again)
		}
		now := start().Add(time.Duration(after))
		v := decide(now, q, stored, standing{}, Policy{})
		if v.action == serve && (v.ttl <= 0 || stored.noCache) {
			t.Errorf("served with %v left", v.ttl)
		}
		if v.action == refresh && stored.strict() {
			t.Error("served stale against the response's word")
		}
		p := decide(now, q, stored, standing{since: time.Unix(0, purged)}, Policy{StaleIfError: time.Hour})
		if p.action == serve || p.action == refresh && (stored.strict() || -p.ttl >= stored.staleWhileRevalidate) {
			t.Errorf("purged, and served with %v left: %v", p.ttl, p.action)
		}
		if p.ttl > 0 || p.ttl > v.ttl {
			t.Errorf("%v are left after a purge, %v without", p.ttl, v.ttl)
		}
		if g := decide(now, q, stored, standing{gone: true}, Policy{StaleIfError: time.Hour}); g != decide(now, q, nil, standing{}, Policy{}) {
			t.Errorf("forgotten, and still of use: %+v", g)
		}
	})
}
