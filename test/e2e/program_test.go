package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
	"liuyun/internal/video/vod"
	process "liuyun/test/program"
)

var program = flag.String("liuyun", "", "test this program instead of building one")

// scratch holds the presentations, which tests share.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "liuyun-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

func liuyun(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path := *program
	if path == "" {
		path = process.Build(t, testkit.Root(t)).Path
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Env = environment()
	return command
}

// environment is ours without settings of tests, which the program refuses.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LIUYUN_") })
}

// presentation is one output folder, as report.json describes it.
type presentation struct {
	dir    string
	Source struct {
		Duration float64 `json:"duration_s"`
	} `json:"source"`
	Plan struct {
		FrameRate timebase.Rational `json:"frame_rate"`
		Frames    int               `json:"frames"`
		Segments  int               `json:"segments"`
	} `json:"plan"`
	Renditions []rendition `json:"renditions"`
	Audio      []struct {
		ID       string `json:"id"`
		Language string `json:"language"`
		Channels int    `json:"channels"`
		Playlist string `json:"playlist"`
	} `json:"audio"`
}

type rendition struct {
	ID        string  `json:"id"`
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate"`
	Range     string  `json:"dynamic_range"`
	Playlist  string  `json:"playlist"`
	MP4       string  `json:"mp4"`
}

// step is how many pictures of the plan pass with one of the rendition.
func (p *presentation) step(r rendition) int {
	return max(1, int(p.Plan.FrameRate.Float()/r.FrameRate+0.5))
}

// seconds is how long the plan lasts.
func (p *presentation) seconds() float64 {
	return float64(p.Plan.Frames) / p.Plan.FrameRate.Float()
}

// encodes holds what was encoded, by the name of the film.
var encodes sync.Map

// encode runs `liuyun encode` on a film, once for all tests. A film that needs
// something that is absent skips each test that asks for it.
func encode(t testing.TB, name string) *presentation {
	t.Helper()
	f, ok := films()[name]
	if !ok {
		t.Fatalf("there is no film %q", name)
	}
	in := f.source(t)
	program := liuyun(t)
	once, _ := encodes.LoadOrStore(name, sync.OnceValues(func() (*presentation, error) {
		dir := filepath.Join(scratch, name)
		return run(program.Path, dir, append([]string{"encode", in, "-o", dir, "--json", "--preset", "ultrafast"}, f.args...))
	}))
	p, err := once.(func() (*presentation, error))()
	if err != nil {
		t.Fatalf("encode %s: %v", name, err)
	}
	return p
}

func run(program, dir string, args []string) (*presentation, error) {
	var problems bytes.Buffer
	command := exec.Command(program, args...)
	command.Env = environment()
	command.Stderr = &problems
	if out, err := command.Output(); err != nil {
		return nil, fmt.Errorf("%w\n%s%s", err, out, problems.Bytes())
	}
	report, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return nil, err
	}
	p := &presentation{dir: dir}
	return p, json.Unmarshal(report, p)
}

// serve gives the address, with a slash at its end, of the presentation on a
// server like the program's.
func (p *presentation) serve(t testing.TB) string {
	t.Helper()
	folder, err := vod.NewFolder(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(folder)
	t.Cleanup(func() {
		server.Close()
		folder.Close()
	})
	return server.URL + "/"
}

// node runs one of our scripts with what npm installed for them, and returns
// what it wrote to stdout.
func node(t testing.TB, stdin []byte, script string, args ...string) ([]byte, error) {
	t.Helper()
	node := testkit.Program(t, "node")
	_, err := os.Stat("node_modules/.package-lock.json")
	testkit.Need(t, err == nil, "the packages of test/e2e are not installed: run make e2e")
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), node, append([]string{script}, args...)...)
	command.Stdin, command.Stderr = bytes.NewReader(stdin), &problems
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", script, err, strings.TrimSpace(problems.String()))
	}
	return out, err
}
