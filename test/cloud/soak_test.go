package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// soakVariable says how long to soak, as in 5m; make soak sets it.
const soakVariable = "LIUYUN_SOAK"

// soakLine is what a soak comes to, one line of bench/results/soak.jsonl.
type soakLine struct {
	When       time.Time      `json:"when"`
	Name       string         `json:"name"`
	Cores      int            `json:"cores"`
	Seed       uint64         `json:"seed"`
	Minutes    float64        `json:"minutes"`
	Kills      map[string]int `json:"kills"` // what was done to whom, and how often
	Assets     int            `json:"assets"`
	Deleted    int            `json:"deleted"` // while they were made
	Units      int            `json:"units"`
	Again      int            `json:"units_begun_again"`
	Lost       int            `json:"lost"`       // acknowledged, and not ready in the end
	Mismatched int            `json:"mismatched"` // other bytes than an undisturbed encode
	Left       int            `json:"left"`       // files of deleted assets that stay
}

// soak is a cloud that works and is disturbed all the time.
type soak struct {
	cluster
	t      *testing.T
	films  []soakFilm
	random *rand.Rand

	mu      sync.Mutex
	assets  map[string]soakFilm // by id: acknowledged, not deleted
	deleted []string
	line    soakLine
}

// soakFilm is a source, how it is encoded and what it has to come to.
type soakFilm struct {
	source string
	*client.EncodeOptions
	want string
}

// A control node and two workers make what is uploaded without end, while one of
// them after the other is killed, put to sleep, or loses its ffmpeg. In the end
// everything that was acknowledged is there, with the bytes of an undisturbed run.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv(soakVariable))
	if err != nil {
		t.Skipf("%s does not say for how long to soak, as in 5m; see make soak", soakVariable)
	}
	s := newSoak(t)
	workers := []worker{s.join(t), s.join(t)}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var feeding sync.WaitGroup
	for range 3 {
		feeding.Go(func() { s.feed(ctx) })
	}
	for ctx.Err() == nil {
		s.disturb(ctx, workers)
	}
	feeding.Wait()
	s.judge()
	s.write()
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t: t, assets: make(map[string]soakFilm)}
	s.line = soakLine{When: time.Now().UTC().Truncate(time.Second), Name: "soak", Cores: runtime.NumCPU(), Seed: uint64(time.Now().UnixNano()), Kills: make(map[string]int)}
	t.Logf("seed %d", s.line.Seed)
	s.random = rand.New(rand.NewPCG(s.line.Seed, 0))
	for _, f := range []soakFilm{
		{film(t), &client.EncodeOptions{Preset: "medium", Ladder: "180,90"}, ""},
		{testkit.Generate(t, testkit.Numbered("25", 1000, 220, 440, 660, 880)), &client.EncodeOptions{Preset: "fast", Ladder: "180,90"}, ""},
		{testkit.Generate(t, testkit.Pattern(320, 180, "30000/1001", 6)), &client.EncodeOptions{Preset: "veryfast", Ladder: "180,90"}, ""},
	} {
		f.want = encodeAlone(t, f.source, "--preset", f.Preset, "--ladder", f.Ladder)
		s.films = append(s.films, f)
	}
	// The address stays over restarts: clients go on where they were.
	s.cluster = startCluster(t, "127.0.0.1", "--listen", freeAddress(t, "127.0.0.1"))
	return s
}

// feed uploads one film after the other, and deletes one of four while it is made.
func (s *soak) feed(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		f := s.films[n%len(s.films)]
		id, err := s.give(ctx, f)
		if err != nil {
			continue // not acknowledged, or the time is over
		}
		if n%4 == 3 && s.Assets.Delete(ctx, id) == nil {
			s.mu.Lock()
			delete(s.assets, id)
			s.deleted = append(s.deleted, id)
			s.mu.Unlock()
			continue
		}
		for ctx.Err() == nil {
			if a, err := s.Assets.Get(ctx, id); err == nil && a.Status.Ended() {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// give uploads a film. From its answer on the asset must not be lost.
func (s *soak) give(ctx context.Context, f soakFilm) (string, error) {
	file, err := os.Open(f.source)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	a, err := s.Upload(ctx, file, info.Size(), client.UploadOptions{Name: filepath.Base(f.source), Options: f.EncodeOptions, Chunk: 1 << 20})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets[a.ID] = f
	return a.ID, nil
}

// disturb waits for a moment and then does something to somebody. All run again
// when it returns.
func (s *soak) disturb(ctx context.Context, workers []worker) {
	pause := func(least, most int) {
		select {
		case <-time.After(time.Duration(least+s.random.IntN(most-least)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	pause(1000, 6000)
	if ctx.Err() != nil {
		return
	}
	n := s.random.IntN(len(workers))
	what := []string{"worker", "worker", "worker away", "server", "ffmpeg", "ffmpeg", "asleep"}[s.random.IntN(7)]
	s.line.Kills[what]++
	switch w := workers[n]; what {
	case "worker", "worker away":
		w.Kill()
		if what == "worker away" {
			pause(2000, 40_000)
		}
		workers[n] = w.again(s.t)
	case "server":
		s.Kill()
		again := resume(s.t, s.Data, s.arguments...)
		s.Server = again.Server
	case "ffmpeg":
		if children := program.Children(w.Pid); len(children) > 0 {
			_ = syscall.Kill(children[s.random.IntN(len(children))], syscall.SIGKILL) // it may have ended by itself
		}
	case "asleep":
		w.Suspend()
		pause(2000, 40_000)
		w.Continue()
	}
}

// judge waits until all is done, and looks at what has come of it.
func (s *soak) judge() {
	s.line.Minutes = float64(int(time.Since(s.line.When).Minutes()*10)) / 10
	s.line.Assets, s.line.Deleted = len(s.assets), len(s.deleted)
	for id, f := range s.assets {
		var a client.Asset
		if !program.Eventually(patience, func() bool {
			var err error
			a, err = s.Assets.Get(s.t.Context(), id)
			return client.CodeOf(err) == client.NotFound || err == nil && a.Status.Ended()
		}) || a.Status != client.Ready {
			s.line.Lost++
			s.t.Errorf("asset %s is lost: %s %v", id, a.Status, a.Failure)
			continue
		}
		if !s.t.Run(id, func(t *testing.T) { sameMedia(t, s.result(t, id), f.want) }) {
			s.line.Mismatched++
		}
		again, all := s.again(s.t, id)
		s.line.Units, s.line.Again = s.line.Units+all, s.line.Again+again
	}
	for _, id := range s.deleted {
		if !program.Eventually(patience, func() bool { return len(s.left(s.t, id)) == 0 }) {
			s.line.Left += len(s.left(s.t, id))
			s.t.Errorf("of deleted asset %s stay %q", id, s.left(s.t, id))
		}
	}
}

// write adds the line to the results.
func (s *soak) write() {
	text, err := json.Marshal(s.line)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%s", text)
	file, err := os.OpenFile(filepath.Join(testkit.Root(s.t), "bench", "results", "soak.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s\n", text); err != nil {
		s.t.Fatal(err)
	}
}
