package live

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// soakVariable says how long to soak, as in 30m; make soak sets it.
const soakVariable = "LIUYUN_SOAK"

// What happens in a soak: so often something is killed, which is ffmpeg the third time
// and the sixth, else the encoder; for so long the encoder is away, and so fast its clock
// goes against that of the world.
const (
	soakKills = 7
	soakAway  = 3 * time.Second
	soakDrift = "1.001"
)

// What one who watches as it happens may suffer of each kill, and how far behind they may
// be in the end.
const (
	soakStall  = 3.0 // seconds
	soakBehind = 5.0
)

// soakLine is what a soak comes to, one line of bench/results/soak-live.jsonl.
type soakLine struct {
	When    time.Time             `json:"when"`
	Name    string                `json:"name"`
	Cores   int                   `json:"cores"`
	Minutes float64               `json:"minutes"`
	Kills   map[string]int        `json:"kills"`
	Players map[string]soakPlayer `json:"players"`
}

// soakPlayer is how one player fared.
type soakPlayer struct {
	Stalls  int      `json:"stalls"`
	Longest float64  `json:"longest_stall_s"`
	Errors  int      `json:"errors"`
	Latency float64  `json:"latency_s"` // in the end
	Missed  float64  `json:"missed_s"`  // of the time that passed, not played
	Said    []string `json:"said,omitempty"`
}

// Players that are not ours watch at standard latency, each in a Chromium of its own,
// while the encoder is killed and comes back again and again, the ffmpeg that makes
// another rendition is killed, and the encoder's clock is fast: none of them stalls or
// fails. Those of low latency, one of them by WebRTC, stall once a kill at most, for a
// moment, and are back at what happens.
//
// One that is short has one kill, and asks less of a machine.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv(soakVariable))
	if err != nil {
		t.Skipf("%s does not say for how long to soak, as in 30m; see make soak", soakVariable)
	}
	long := length >= 5*time.Minute
	needPlayers(t)
	c := start(t, filepath.Join(t.TempDir(), "data"))
	ladder := []string{}
	if long {
		ladder = append(ladder, "360p")
	}
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Town hall", Ladder: ladder})
	if err != nil {
		t.Fatal(err)
	}
	address := ingest(s, s.Ingest.RTMP.Key)
	fast := film("640x360", "-readrate", soakDrift)
	encoder := send(t, fast, "-f", "flv", address)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	// Players of standard latency begin three target durations before the end.
	awaitWindow(t, master, 20*time.Second)

	w := watchIn(t, soakPlayers(s, c, long), length)
	line := soakLine{When: time.Now().UTC().Truncate(time.Second), Name: "soak-live", Cores: runtime.NumCPU(), Minutes: length.Minutes(), Kills: map[string]int{}}
	kills := 1
	if long {
		kills = soakKills
	}
	for n := range kills {
		if !w.wait(length / time.Duration(kills+1)) {
			break
		}
		if n%3 == 2 { // the third time and the sixth
			line.Kills["ffmpeg"] += killChildren(c.Pid)
			continue
		}
		encoder.kill()
		line.Kills["encoder"]++
		w.wait(soakAway)
		encoder = send(t, fast, "-f", "flv", address)
		c.await(t, s.ID, client.StreamLive)
	}
	line.Players = w.judge(t, line.Kills["encoder"]+line.Kills["ffmpeg"])
	if long {
		writeSoak(t, line)
	}
}

// killChildren kills what a server has started, and says how many that were.
func killChildren(pid int) int {
	children := program.Children(pid)
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may be gone
	}
	return len(children)
}

// soakPlayers are those that watch, with what each reads.
func soakPlayers(s client.Stream, c *cloud, long bool) map[string]string {
	hls, dash := c.Resolve(s.Playback.HLS), c.Resolve(s.Playback.DASH)
	players := map[string]string{"hls.js": hls, "dash.js": dash, "shaka-hls": hls}
	if long {
		players["hls.js-low"], players["whep"] = hls, c.Resolve(s.Playback.WHEP)
	}
	return players
}

// awaitWindow waits until the playlist of the pictures goes back so far.
func awaitWindow(t *testing.T, master string, length time.Duration) {
	t.Helper()
	p := rendition(t, master, "video")
	if !program.Eventually(patience, func() bool {
		l, _ := p.playlist()
		var sum time.Duration
		for _, s := range l.Segments {
			sum += s.Duration
		}
		return sum >= length
	}) {
		t.Fatalf("the window does not grow to %v", length)
	}
	p.verdict(t)
}

// judge waits for the end and says how each player fared.
func (w *watchers) judge(t *testing.T, kills int) map[string]soakPlayer {
	t.Helper()
	players := make(map[string]soakPlayer)
	for name, s := range w.end(t) {
		p := soakPlayer{Stalls: len(s.Stalls), Longest: s.Lasting, Errors: len(s.Problems), Latency: s.Latency, Missed: s.Seconds - s.Progress, Said: s.Problems}
		for _, stall := range s.Stalls {
			p.Longest = max(p.Longest, stall.Seconds)
		}
		players[name] = p
		t.Logf("%s: %+v", name, s)
		low := name == "hls.js-low" || name == "whep"
		switch {
		case s.Lasting > 0:
			t.Errorf("%s stands still in the end, for %.1f s", name, s.Lasting)
		case !low && (p.Stalls > 0 || p.Errors > 0):
			t.Errorf("%s has stalled %d times and says %q", name, p.Stalls, s.Problems)
		case low && (p.Stalls > kills || p.Longest > soakStall):
			t.Errorf("%s has stalled %d times in %d kills, for %.1f s at most", name, p.Stalls, kills, p.Longest)
		case low && p.Latency > soakBehind: // of WebRTC it is not known
			t.Errorf("%s is %.1f s behind in the end", name, p.Latency)
		}
	}
	return players
}

// writeSoak adds the line to the results.
func writeSoak(t *testing.T, line soakLine) {
	t.Helper()
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	file, err := os.OpenFile(filepath.Join(testkit.Root(t), "bench", "results", "soak-live.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s\n", text); err != nil {
		t.Fatal(err)
	}
}
