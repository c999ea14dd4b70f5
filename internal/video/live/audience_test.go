package live

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"
)

// Who asks is counted once, until nothing has been heard of it for a while; who holds
// a connection, until it leaves; and a crowd of made-up viewers costs no memory.
func TestAudience(t *testing.T) {
	t.Parallel()
	var a audience
	now := time.Now()
	ask := func(from, agent string, at time.Time) {
		r := httptest.NewRequest("GET", "/play/x/master.m3u8", nil)
		r.RemoteAddr = from
		r.Header.Set("User-Agent", agent)
		a.asks(r, at)
	}
	expect := func(at time.Time, want int) {
		t.Helper()
		if got := a.count(at); got != want {
			t.Errorf("%d watch, want %d", got, want)
		}
	}
	expect(now, 0)
	ask("192.0.2.1:1000", "one", now)
	ask("192.0.2.1:1001", "one", now.Add(10*time.Second))
	ask("192.0.2.1:1002", "two", now)
	ask("192.0.2.2:1000", "one", now)
	leave := a.enter(byRTMP)
	expect(now.Add(10*time.Second), 4)
	expect(now.Add(20*time.Second), 2)
	leave()
	leave()
	expect(now.Add(20*time.Second), 1)
	expect(now.Add(30*time.Second), 0)
	a.edges = func() int { return 7 }
	expect(now.Add(30*time.Second), 7)
	a.edges = nil
	for i := range 2 * mostAsking {
		ask("192.0.2.3:1", fmt.Sprint(i), now)
	}
	expect(now, mostAsking)
}
