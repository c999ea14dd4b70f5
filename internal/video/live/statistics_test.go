package live

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/kit/obs"
)

// What a session takes in and sends is counted from its beginning to its end, and the
// next one begins anew.
func TestStatistics(t *testing.T) {
	t.Parallel()
	var s statistics
	begin := time.Unix(1_800_000_000, 0).UTC()
	if got := s.show([ways]int{}); got.Since != nil || got.MostAt != nil || got.Series == nil {
		t.Errorf("before any session: %+v", got)
	}
	before := [ways]int64{byHTTP: 1000, bySRT: 50}
	s.begin(begin, before)
	sent, in := before, int64(0)
	for second := 1; second <= 25; second++ {
		sent[byHTTP] += 2000
		sent[byRTMP] += 500
		in += 1000
		viewers := 2
		if second == 13 || second == 20 {
			viewers = 7
		}
		s.tick(begin.Add(time.Duration(second)*time.Second), viewers, in, sent)
	}
	after := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	most := after(13)
	want := &StreamStatistics{
		Since: &begin, BytesIn: 25_000, BytesOut: 62_500, Viewers: 3, Most: 7, MostAt: &most,
		Ways: StreamWays{HTTP: StreamWay{50_000, 1}, RTMP: StreamWay{12_500, 0}, SRT: StreamWay{0, 2}},
		Series: []StreamPoint{
			{after(10), 2, 8000, 20_000},
			{after(20), 7, 8000, 20_000},
		},
	}
	if diff := cmp.Diff(want, s.show([ways]int{byHTTP: 1, bySRT: 2})); diff != "" {
		t.Errorf("while it goes on (-want +got):\n%s", diff)
	}
	end := after(26)
	s.end(end, in+10, sent)
	want.Until, want.BytesIn, want.Series = &end, in+10, []StreamPoint{}
	if diff := cmp.Diff(want, s.show([ways]int{byHTTP: 1, bySRT: 2})); diff != "" {
		t.Errorf("when it is over (-want +got):\n%s", diff)
	}
	s.begin(end, sent)
	if diff := cmp.Diff(&StreamStatistics{Since: &end, Series: []StreamPoint{}}, s.show([ways]int{})); diff != "" {
		t.Errorf("the next (-want +got):\n%s", diff)
	}
}

// The series is the last hour, however the seconds fall: 360 points at the most, ten
// seconds apart, and a pause leaves a hole in it.
func TestSeriesIsBounded(t *testing.T) {
	t.Parallel()
	var s statistics
	begin := time.Unix(1_800_000_000, 0).UTC()
	s.begin(begin, [ways]int64{})
	now, in := begin, int64(0)
	run := func(length time.Duration) {
		for end := now.Add(length); now.Before(end); {
			now = now.Add(1007 * time.Millisecond)
			in += 1007
			s.tick(now, 1, in, [ways]int64{})
		}
	}
	run(3 * time.Hour)
	series := s.show([ways]int{}).Series
	if len(series) != 360 {
		t.Fatalf("there are %d points", len(series))
	}
	for i, p := range series {
		if p.BitsIn != 8000 || p.Viewers != 1 || i > 0 && p.At.Sub(series[i-1].At) != 10*time.Second {
			t.Fatalf("point %d is %+v", i, p)
		}
	}
	if late := now.Sub(series[359].At); late < 0 || late > 12*time.Second {
		t.Errorf("the newest is %v old", late)
	}
	if cap(s.series) > 2*360 {
		t.Errorf("there is room for %d points", cap(s.series))
	}
	now = now.Add(30 * time.Minute) // the machine slept
	run(time.Minute)
	series = s.show([ways]int{}).Series
	if first := series[0].At; len(series) > 190 || now.Sub(first) > time.Hour+12*time.Second {
		t.Errorf("after a pause there are %d points from %v on", len(series), first)
	}
}

// What an encoder sends is counted once, also what comes just before it goes.
func TestReceived(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.enter('A', false, 30)
	s.play(time.Second, a) // 25 pictures of 3 bytes
	s.mu.Lock()
	s.count(a.input)
	a.feed.Tick(time.Second)
	s.mu.Unlock()
	s.play(time.Second, a)
	a.Close()
	b := s.enter('B', false, 30)
	s.play(time.Second, b)
	s.finish()
	if got := s.traffic.received["rtmp"]; s.received != 225 || got != 225 {
		t.Errorf("%d bytes are counted, and %d in all", s.received, got)
	}
}

// What is sent is counted for the tenant, the stream and the process, and nothing is
// allocated for it.
func TestSentIsCounted(t *testing.T) {
	c := newCloud(t)
	var billed int64
	c.Served = func(tenant string, bytes int64) { billed += bytes }
	l := &session{tenant: "ten_a", crowd: c.crowd.find("str_1")}
	c.sessions["str_1"] = l
	send := c.sentBy(byRTSP)
	send("str_1", 100)
	send("str_1", -1)
	send("str_2", 100) // is not on air
	if got := l.crowd.sent.now(); billed != 100 || got != [ways]int64{byRTSP: 100} || c.traffic.sent.now() != got {
		t.Errorf("billed are %d, the stream's %v", billed, got)
	}
	if n := testing.AllocsPerRun(100, func() { send("str_1", 1) }); n > 0 {
		t.Errorf("%v allocations each time", n)
	}
}

// The API shows the statistics to those who may read the stream, and metrics those of
// all streams.
func TestStatisticsAreShown(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	path := "/v1/streams/" + made.ID + "/statistics"
	c.call(t, "ten_b assets:read", 404, "GET", path, "")
	c.call(t, "ten_a jobs:read", 403, "GET", path, "")
	show := func() (s StreamStatistics) {
		t.Helper()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer ten_a assets:read")
		w := httptest.NewRecorder()
		c.api.ServeHTTP(w, r)
		if err := json.Unmarshal(w.Body.Bytes(), &s); w.Code != 200 || err != nil {
			t.Fatalf("%d, %v: %s", w.Code, err, w.Body)
		}
		return s
	}
	if got := show(); got.Since != nil || got.BytesIn != 0 || got.Most != 0 {
		t.Errorf("before it began: %+v", got)
	}

	crowd := c.crowd.find(made.ID)
	s := newStage(t)
	s.crowd, s.traffic = crowd, &c.traffic
	crowd.last.begin(s.now, crowd.sent.now())
	s.enter('A', false, 30)
	defer crowd.enter(bySRT)()
	c.sessions[made.ID] = s.session
	c.sentBy(bySRT)(made.ID, 400)
	s.traffic.receive("rtmp", 300)
	crowd.last.tick(s.now.Add(11*time.Second), 1, 300, crowd.sent.now())
	got := show()
	if got.Since == nil || got.Until != nil || got.BytesIn != 300 || got.BytesOut != 400 || got.Ways.SRT != (StreamWay{400, 1}) ||
		got.Viewers != 1 || got.Most != 1 || got.MostAt == nil || len(got.Series) != 1 {
		t.Errorf("while it goes on: %+v", got)
	}

	m := obs.NewRegistry()
	c.Measure(m)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"liuyun_live_streams_count 0", `liuyun_live_inputs_count{protocol="rtmp"} 1`,
		`liuyun_live_viewers_count{way="srt"} 1`, `liuyun_live_viewers_count{way="http"} 0`,
		`liuyun_live_received_bytes_total{protocol="rtmp"} 300`, `liuyun_live_sent_bytes_total{way="srt"} 400`,
		`liuyun_live_sent_bytes_total{way="webrtc"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, w.Body)
		}
	}
}
