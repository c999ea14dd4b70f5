package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/dash"
	"liuyun/internal/av/hls"
	"liuyun/internal/console"
	"liuyun/internal/edge/route"
	"liuyun/internal/testkit"
	"liuyun/internal/video/vod"
)

// site is three nodes with the same film, on one port of three addresses, as steering
// replaces hosts only, and a router that is apart.
type site struct {
	t      *testing.T
	dir    string
	router *httptest.Server
	routes *route.Router
	nodes  map[string]*edgeNode // by ID
	end    ending

	mu    sync.Mutex
	last  string   // the node that a segment was last asked of
	dead  string   // the node that was killed
	asked []string // of whom what was asked, in order
}

// ending is how a node dies.
type ending int

const (
	refuses ending = iota // its program has gone, and its machine says so
	falls                 // its machine is silent: what is asked of it is never answered
)

// steeredFilm is the ID of the film.
const steeredFilm = "ast_0123456789abcdefghjkmnpqrs"

type edgeNode struct {
	id     string
	server *http.Server
	frozen chan struct{} // closed: nothing is answered any more
	thawed chan struct{} // closed: the test is over
}

func newSite(t *testing.T, dir string, end ending) *site {
	t.Helper()
	s := &site{t: t, dir: dir, nodes: make(map[string]*edgeNode), end: end}
	var scheduler route.Scheduler
	router := &route.Router{Scheduler: &scheduler}
	s.routes = router
	mux := http.NewServeMux()
	mux.Handle("/", router)
	mux.Handle("/embed/", console.Embed("http:"))
	mux.HandleFunc("/play/", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimSuffix(route.RedirectPath, "/") + r.URL.Path
		router.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /kill", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		s.kill()
	})
	s.router = httptest.NewServer(mux)
	t.Cleanup(s.router.Close)
	folder, err := vod.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	listeners := samePort(t, "127.0.0.1", "127.0.0.2", "127.0.0.3")
	var all []route.Node
	for i, listener := range listeners {
		id := "node-" + string(rune('a'+i))
		n := &edgeNode{id: id, frozen: make(chan struct{}), thawed: make(chan struct{})}
		n.server = &http.Server{Handler: s.handler(n, http.StripPrefix("/play/"+steeredFilm+"/", folder))}
		s.nodes[id] = n
		go n.server.Serve(listener)
		t.Cleanup(func() { close(n.thawed); n.server.Close() })
		all = append(all, route.Node{ID: id, URL: &url.URL{Scheme: "http", Host: listener.Addr().String()}, State: route.Ready, Seen: time.Now().Add(time.Hour)})
	}
	if err := scheduler.SetNodes(all); err != nil {
		t.Fatal(err)
	}
	return s
}

// samePort listens on one port of all hosts.
func samePort(t *testing.T, hosts ...string) []net.Listener {
	t.Helper()
	for range 20 {
		var all []net.Listener
		port := "0"
		for _, host := range hosts {
			l, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				break
			}
			all = append(all, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if len(all) == len(hosts) {
			return all
		}
		for _, l := range all {
			l.Close()
		}
	}
	t.Fatalf("no port is free on all of %q", hosts)
	return nil
}

func (s *site) handler(n *edgeNode, files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-n.frozen:
			<-n.thawed
			panic(http.ErrAbortHandler)
		default:
		}
		s.mu.Lock()
		if strings.HasSuffix(r.URL.Path, ".m4s") {
			s.last = n.id
		}
		s.asked = append(s.asked, n.id+" "+r.URL.Path)
		s.mu.Unlock()
		switch name := strings.TrimPrefix(r.URL.Path, "/play/"+steeredFilm+"/"); name {
		case "master.m3u8", "manifest.mpd":
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Write(s.steered(n, r, name))
		default:
			files.ServeHTTP(w, r)
		}
	})
}

// steered is a manifest as a node with routing serves it.
func (s *site) steered(n *edgeNode, r *http.Request, name string) []byte {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Error(err)
		return nil
	}
	query := route.SteeringQuery(n.id, r.URL.Path)
	if name == "master.m3u8" {
		text, err = hls.AppendSteered(nil, text, s.router.URL+route.SteerHLSPath+query)
	} else {
		steering := dash.Steering{Server: s.router.URL + route.SteerDASHPath + query, Self: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path}}
		for _, other := range s.routes.Elsewhere(r, n.id, 2) {
			steering.Others = append(steering.Others, dash.Place(other))
		}
		text, err = dash.AppendSteered(nil, text, steering)
	}
	if err != nil {
		s.t.Error(err)
	}
	return text
}

// kill ends the node that the player is on.
func (s *site) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[s.last]
	if n == nil || s.dead != "" {
		s.t.Errorf("the player plays from %q; %q was killed", s.last, s.dead)
		return
	}
	s.dead = n.id
	s.asked = append(s.asked, n.id+" is killed")
	if s.end == falls {
		close(n.frozen)
		return
	}
	n.server.Close()
}

// after is how many segments were asked of others after the node was killed.
func (s *site) after() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.asked, s.dead+" is killed")
	count := 0
	for _, line := range s.asked[at+1:] {
		if strings.HasSuffix(line, ".m4s") && !strings.HasPrefix(line, s.dead+" ") {
			count++
		}
	}
	return count
}

// steerRun is one film whose server dies.
type steerRun struct {
	Name   string  `json:"name"`
	Player string  `json:"player"`
	URL    string  `json:"url"`
	Kill   string  `json:"kill"`
	To     float64 `json:"to"` // 0: it plays on with what it has loaded

	site *site
}

// A node dies while a player plays from it, and the player is then sent to where it has
// nothing yet, as if it had no buffer: it goes on from another node within three seconds.
// hls.js and Shaka Player (DASH) do so with their own settings when connections to the node
// are refused; when it is silent they wait for ten seconds and more, and ours does not.
// dash.js asks the same node four times, a second apart: that takes longer, and stops nobody
// for three seconds who plays on with two seconds loaded.
func TestSteeringAwayFromTheDead(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	testkit.Need(t, console.Built(), "the player page is not built: run make e2e")
	lab := httptest.NewServer(http.FileServer(http.Dir(".")))
	defer lab.Close()
	film := testkit.Generate(t, testkit.Clip{Name: "minutes.mp4", Args: []string{
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "160",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"}})
	dir := filepath.Join(t.TempDir(), "minutes")
	if _, err := run(liuyun(t).Path, dir, []string{"encode", film, "-o", dir, "--json", "--preset", "ultrafast", "--ladder", "180,90", "--segment", "2s"}); err != nil {
		t.Fatal(err)
	}
	var runs []steerRun
	add := func(name, player, path string, end ending, to float64) {
		s := newSite(t, dir, end)
		runs = append(runs, steerRun{name, player, s.router.URL + path, s.router.URL + "/kill", to, s})
	}
	const apart = 150 // where nothing is loaded
	add("hls.js", "hls.js", "/route/play/"+steeredFilm+"/master.m3u8", refuses, apart)
	add("dash.js", "dash.js", "/route/play/"+steeredFilm+"/manifest.mpd", refuses, apart)
	add("dash.js-loaded", "dash.js", "/route/play/"+steeredFilm+"/manifest.mpd", refuses, 0)
	add("shaka-dash", "shaka-dash", "/route/play/"+steeredFilm+"/manifest.mpd", refuses, apart)
	add("page-hls-silent", "page", "/embed/"+steeredFilm, falls, apart)
	add("page-dash", "page", "/embed/"+steeredFilm+"?delivery=dash", refuses, apart)
	add("page-dash-silent", "page", "/embed/"+steeredFilm+"?delivery=dash", falls, apart)
	job, err := json.Marshal(map[string]any{"chromium": chromium, "lab": lab.URL + "/lab/", "lanes": 2, "checks": runs})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "steer.mjs")
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]steerRun)
	for _, r := range runs {
		byName[r.Name] = r
	}
	for line := range bytes.Lines(out) {
		var found struct {
			Name     string
			Problems []string
			Gap      float64
		}
		if err := json.Unmarshal(line, &found); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		t.Run(found.Name, func(t *testing.T) {
			s := byName[found.Name].site
			limit := 3.0
			if found.Name == "dash.js" {
				limit = 6 // see above
			}
			if len(found.Problems) > 0 || found.Gap > limit {
				t.Errorf("%q, on after %.2f s, want %v at most; asked were\n%s", found.Problems, found.Gap, limit, strings.Join(s.asked, "\n"))
			}
			if after := s.after(); after == 0 {
				t.Error("no segment came from another node")
			}
			t.Logf("on after %.2f s", found.Gap)
		})
	}
}
