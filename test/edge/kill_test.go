package edge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// soakVariable says that it is a soak, as make soak does.
const soakVariable = "LIUYUN_SOAK"

// killed is what a thousand kills come to, one line of bench/results/soak-edge.jsonl.
type killed struct {
	When    time.Time `json:"when"`
	Name    string    `json:"name"`
	Cores   int       `json:"cores"`
	Kills   int       `json:"kills"`
	Answers int64     `json:"answers"`        // that were whole
	Hits    int64     `json:"hits"`           // of them, from the cache
	Kept    int64     `json:"kept"`           // of these, of what was stored before the last kill
	Broken  int64     `json:"broken"`         // answers that ended early, and could be seen to
	Wrong   int64     `json:"wrong"`          // whole, and not what the origin has
	Asked   int64     `json:"origin_answers"` // of the origin
}

// What is asked for while an edge is killed.
const (
	killPaths   = 300
	killClients = 8
)

// An edge that is killed at any moment, while objects of all sizes come and go, serves
// nothing afterwards that is not what the origin has.
func TestKilledEdge(t *testing.T) {
	kills := 20
	if os.Getenv(soakVariable) != "" {
		kills = 1000
	}
	line := killed{When: time.Now().UTC(), Name: "soak-edge", Cores: runtime.NumCPU(), Kills: kills}
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body := bodyOf(r.URL.Path)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "video/mp4")
		if len(body)%2 == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		for len(body) > 0 { // as it is made
			n, err := w.Write(body[:min(len(body), 100_000)])
			if err != nil {
				return
			}
			body = body[n:]
		}
	}))
	defer origin.Close()
	listen := "127.0.0.1:" + freePort(t)
	data := filepath.Join(t.TempDir(), "data")
	serve := func() *program.Server {
		// So little room that objects leave all the time.
		return edgeIn(t, data, origin.URL, "--listen", listen, "--set", "edge.disk=100MiB", "--set", "edge.memory=2MiB")
	}
	server := serve()
	ctx, cancel := context.WithCancel(t.Context())
	var life atomic.Int64 // of the edge; 0 while it is killed
	life.Store(1)
	var asking sync.WaitGroup
	for range killClients {
		asking.Go(func() {
			for ctx.Err() == nil {
				line.ask(ctx, t, "http://"+listen, &life)
			}
		})
	}
	for n := range kills {
		pause := time.Duration(20+rand.IntN(200)) * time.Millisecond
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		life.Store(0)
		server.Kill()
		server = serve()
		life.Store(int64(n + 2))
	}
	// The last one serves what those before it have kept.
	before := atomic.LoadInt64(&line.Kept)
	program.Eventually(10*time.Second, func() bool { return atomic.LoadInt64(&line.Kept) > before })
	cancel()
	asking.Wait()
	line.Asked = asked.Load()
	t.Logf("%+v", line)
	if line.Wrong > 0 || line.Answers < int64(kills)*10 || line.Hits == 0 || line.Kept == 0 {
		t.Error("an edge that was killed did not serve as it should")
	}
	if os.Getenv(soakVariable) == "" || t.Failed() {
		return
	}
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(testkit.Root(t), "bench", "results", "soak-edge.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\n", text)
}

// ask asks for something, some of it or all, and compares what comes.
func (k *killed) ask(ctx context.Context, t *testing.T, edge string, life *atomic.Int64) {
	// A few are asked for most of the time.
	n := rand.IntN(killPaths)
	if rand.IntN(3) > 0 {
		n %= killPaths / 10
	}
	path := "/" + strconv.Itoa(n)
	want := bodyOf(path)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, edge+path, nil)
	if err != nil {
		t.Error(err)
		return
	}
	status := http.StatusOK
	if rand.IntN(4) == 0 && len(want) > 10 {
		from := rand.IntN(len(want) - 1)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		want, status = want[from:], http.StatusPartialContent
	}
	before := life.Load()
	in, err := http.DefaultTransport.RoundTrip(r)
	if err != nil { // it is being started
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
		return
	}
	defer in.Body.Close()
	got, err := io.ReadAll(in.Body)
	if err != nil {
		atomic.AddInt64(&k.Broken, 1)
		return
	}
	if in.StatusCode == http.StatusOK && status == http.StatusPartialContent {
		want, status = bodyOf(path), http.StatusOK // its size was not known yet
	}
	if in.StatusCode != status || string(got) != string(want) {
		atomic.AddInt64(&k.Wrong, 1)
		t.Errorf("%s: status %d, %d bytes that are not the %d of the origin", path, in.StatusCode, len(got), len(want))
		return
	}
	atomic.AddInt64(&k.Answers, 1)
	if says := in.Header.Get("Cache-Status"); strings.HasPrefix(says, "liuyun; hit") {
		atomic.AddInt64(&k.Hits, 1)
		age, err := strconv.Atoi(in.Header.Get("Age"))
		if err == nil && before > 0 && before == life.Load() && age >= 2 {
			atomic.AddInt64(&k.Kept, 1) // no edge lives for so long
		}
	}
}

// bodyOf is what the origin has under a path: noise, from nothing to three megabytes.
func bodyOf(path string) []byte {
	seed := sha256.Sum256([]byte(path))
	random := rand.NewChaCha8(seed)
	sizes := []int{0, 100, 5_000, 60_000, 70_000, 300_001, 1_000_000, 3_000_000}
	n := binary.BigEndian.Uint32(seed[:]) % uint32(len(sizes))
	body := make([]byte, sizes[n])
	_, _ = random.Read(body) // never fails
	return body
}
