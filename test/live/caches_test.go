package live

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
	"liuyun/test/program"
	"liuyun/test/viewer"
)

// How many watch by one cache.
const cacheViewers = 100

// cacheTime is for how long they do: longer in a soak.
func cacheTime() time.Duration {
	const usual, most = 30 * time.Second, 5 * time.Minute
	length, _ := time.ParseDuration(os.Getenv(soakVariable))
	return min(max(usual, length), most)
}

// TestCaches: a hundred viewers of low latency behind a cache that knows nothing of video and
// does what our headers say: what leaves our server is what one viewer needs. Two
// caches are as Debian has them; nginx is told to cache at all, and that one of those
// who ask for the same may fetch it (proxy_cache_lock). The third is an edge of ours.
func TestCaches(t *testing.T) {
	caches := []struct {
		name  string
		start func(t *testing.T, origin string) (address string)
		// within is how much later than from the server itself half of all parts may come:
		// a part, and a segment where a cache looks only twice a second whether what it waits
		// for has come, as nginx does.
		within time.Duration
	}{
		{"varnish", varnish, 500 * time.Millisecond},
		{"nginx", nginx, 4 * time.Second},
		{"edge", edge, 100 * time.Millisecond},
	}
	c := start(t, filepath.Join(t.TempDir(), "data"))
	s, encoder, master := c.onAir(t)
	for _, cache := range caches {
		t.Run(cache.name, func(t *testing.T) {
			origin := newCounter(t, c.URL)
			address := cache.start(t, origin.URL)
			seen := watchMany(t, master, address+strings.TrimPrefix(master, c.URL))
			origin.judge(t, s.ID)
			seen.judge(t, cache.within)
			inBothForms(t, strings.TrimSuffix(address+strings.TrimPrefix(master, c.URL), "master.m3u8")+"video/media.m3u8")
		})
	}
	// By now there is enough of it for difference updates, and for two parsers to read.
	t.Run("playlists", func(t *testing.T) {
		awaitWindow(t, master, 50*time.Second)
		checkPlaylists(t, master)
		// Another size is another part of the playlist.
		encoder.kill()
		c.await(t, s.ID, client.StreamReconnecting)
		pushSize(t, ingest(s, s.Ingest.RTMP.Key), "160x90")
		c.await(t, s.ID, client.StreamLive)
		p := rendition(t, master, "video")
		l := p.awaitSegments(t, 0)
		p.awaitSegments(t, next(l)+1)
		p.verdict(t)
		checkPlaylists(t, master)
	})
}

// inBothForms wants a playlist from a cache compressed for those who take that, and as it
// is for the others, whoever asked before.
func inBothForms(t *testing.T, address string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: patience}
	for _, accept := range []string{"gzip, deflate, br, zstd", "", "gzip, deflate, br, zstd", "identity"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", accept)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, wanted := io.Reader(answer.Body), ""
		if strings.Contains(accept, "gzip") {
			wanted = "gzip"
		}
		if got := answer.Header.Get("Content-Encoding"); got != wanted {
			t.Fatalf("for %q: Content-Encoding %q, want %q", accept, got, wanted)
		}
		if wanted != "" {
			if text, err = gzip.NewReader(text); err != nil {
				t.Fatal(err)
			}
		}
		data, err := io.ReadAll(text)
		if _, problems := hls.Check(data, nil); err != nil || len(problems) > 0 || !strings.Contains(strings.Join(answer.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("for %q: %v, %v, %v\n%s", accept, err, problems, answer.Header, data)
		}
	}
}

// onAir makes a stream and pushes to it until it can be played.
func (c *cloud) onAir(t *testing.T) (s client.Stream, e *encoder, master string) {
	t.Helper()
	s = c.newStream(t)
	e = push(t, ingest(s, s.Ingest.RTMP.Key))
	c.await(t, s.ID, client.StreamLive)
	master = c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	return s, e, master
}

// counter passes requests to a server and counts them.
type counter struct {
	*httptest.Server

	mu       sync.Mutex
	asked    map[string]int // by path and query
	statuses map[int]int
}

func newCounter(t *testing.T, origin string) *counter {
	t.Helper()
	to, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{asked: make(map[string]int), statuses: make(map[int]int)}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 2 * cacheViewers}
	proxy.ModifyResponse = func(r *http.Response) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.statuses[r.StatusCode]++
		return nil
	}
	proxy.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		w.WriteHeader(http.StatusBadGateway) // the cache has gone: the test is over
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked[r.URL.RequestURI()]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// judge wants at most 1.2 requests for each part and each version of a playlist, and
// no answer but 200. The end of a test is no failure of a cache: what nobody waits
// for any more is given up.
func (c *counter) judge(t *testing.T, stream string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := make(map[string][2]int) // names and requests
	for target, n := range c.asked {
		kind := kindOf(target)
		count := kinds[kind]
		kinds[kind] = [2]int{count[0] + 1, count[1] + n}
		if n > 3 && kind != "plain playlist" && kind != "master" {
			t.Logf("%s was asked for %d times", strings.TrimPrefix(target, "/play/"+stream), n)
		}
	}
	for _, kind := range []string{"part", "version"} {
		names, requests := kinds[kind][0], kinds[kind][1]
		if names < 20 || float64(requests) > 1.2*float64(names) {
			t.Errorf("the origin saw %d requests for %d names of a %s", requests, names, kind)
		}
	}
	t.Logf("names and requests at the origin: %v; statuses: %v", kinds, c.statuses)
	for status, n := range c.statuses {
		if status != http.StatusOK {
			t.Errorf("the origin answered %d with %d", n, status)
		}
	}
}

func kindOf(target string) string {
	path, query, _ := strings.Cut(target, "?")
	switch {
	case strings.HasSuffix(path, "master.m3u8"):
		return "master"
	case strings.HasSuffix(path, ".m3u8") && query == "":
		return "plain playlist"
	case strings.HasSuffix(path, ".m3u8"):
		return "version"
	case strings.HasSuffix(path, ".mp4"):
		return "init"
	}
	return "part"
}

// arrivals are when viewers got what they asked for.
type arrivals struct {
	mu     sync.Mutex
	direct map[string]time.Time
	cached map[string][]time.Time
}

// watchMany lets many watch through a cache and one without, and fails the test when
// one of them gets anything but what it asks for.
func watchMany(t *testing.T, direct, cached string) *arrivals {
	t.Helper()
	a := &arrivals{direct: make(map[string]time.Time), cached: make(map[string][]time.Time)}
	ctx, cancel := context.WithTimeout(t.Context(), cacheTime())
	defer cancel()
	var watching sync.WaitGroup
	watch := func(master string, got func(viewer.Answer)) {
		watching.Go(func() {
			if err := viewer.Watch(ctx, viewer.Options{Master: master, Got: got}); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	watch(direct, func(g viewer.Answer) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.direct[g.Target] = g.At
	})
	// They come over two seconds, as people do.
	tick := time.NewTicker(2 * time.Second / cacheViewers)
	defer tick.Stop()
	for range cacheViewers {
		watch(cached, func(g viewer.Answer) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.cached[g.Target] = append(a.cached[g.Target], g.At)
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	watching.Wait()
	return a
}

// judge compares when parts came. The half of a crowd is judged, since this machine
// may be slow and busy; the others are told.
func (a *arrivals) judge(t *testing.T, within time.Duration) {
	t.Helper()
	var late []time.Duration
	for target, at := range a.direct {
		if kindOf(target) != "part" {
			continue
		}
		for _, other := range a.cached[target] {
			late = append(late, other.Sub(at))
		}
	}
	if len(late) < 20*cacheViewers {
		t.Fatalf("only %d parts came by the cache", len(late))
	}
	slices.Sort(late)
	share := func(p int) time.Duration { return late[len(late)*p/100].Round(time.Millisecond) }
	t.Logf("%d parts came by the cache; later than without it by %v for half of them, %v for 95 %%, %v for 99 %%", len(late), share(50), share(95), share(99))
	if share(50) > within {
		t.Errorf("parts come %v later than without a cache, want %v at most", share(50), within)
	}
}

// edge is ours, as it is by itself.
func edge(t *testing.T, origin string) (address string) {
	t.Helper()
	return liuyun(t).Serve(t, filepath.Join(t.TempDir(), "edge"), "--roles", "edge", "--origin", origin).URL
}

// sbin finds a program that Debian puts where only root looks.
func sbin(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path
	}
	return testkit.Program(t, name)
}

// freeAddress is an address on which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// daemon runs a server until the test ends and waits until it listens.
func daemon(t *testing.T, address, path string, arguments ...string) {
	t.Helper()
	command := exec.Command(path, arguments...)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }()
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			command.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said: %s", filepath.Base(path), said.String())
		}
	})
	if !program.Eventually(patience, func() bool {
		socket, err := net.Dial("tcp", address)
		if err == nil {
			socket.Close()
		}
		return err == nil || closed(ended)
	}) || closed(ended) {
		<-ended
		t.Fatalf("%s does not listen: %s", path, said.String())
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// nginx starts one that caches what origin allows.
func nginx(t *testing.T, origin string) string {
	t.Helper()
	path, folder, address := sbin(t, "nginx"), t.TempDir(), freeAddress(t)
	owner := "" // its worker is another user when root starts it
	if os.Geteuid() == 0 {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		owner = "user " + me.Username + ";"
	}
	config := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`%s
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 2048; }
http {
	access_log off;
	client_body_temp_path temp;
	proxy_temp_path temp;
	fastcgi_temp_path temp;
	uwsgi_temp_path temp;
	scgi_temp_path temp;
	proxy_cache_path cache keys_zone=live:10m;
	server {
		listen %s;
		location / {
			proxy_pass %s;
			proxy_cache live;
			proxy_cache_lock on;
		}
	}
}
`, owner, address, origin)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, address, path, "-p", folder, "-c", config, "-e", "stderr")
	return "http://" + address
}

// varnish starts one with the rules that it comes with.
func varnish(t *testing.T, origin string) string {
	t.Helper()
	path, address := sbin(t, "varnishd"), freeAddress(t)
	daemon(t, address, path, "-F", "-j", "none", "-n", t.TempDir(), "-a", address, "-b", strings.TrimPrefix(origin, "http://"), "-s", "default,64m")
	return "http://" + address
}
