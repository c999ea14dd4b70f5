package arch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

// family says which packages of ours know a third-party module. One family only:
// its next version, or its replacement, then changes one place.
type family struct {
	module  string
	folder  string // the only one whose code imports it; "" when only tests do
	because string
}

func families() []family {
	return []family{
		{"github.com/Eyevinn/mp4ff", "internal/av", "boxes and parameter sets are av's; others see our types"},
		{"github.com/Eyevinn/dash-mpd", "internal/av/dash", "others see a description of the presentation"},
		{"github.com/Eyevinn/hls-m3u8", "", "playlists are written by av/hls; this one reads them in its tests"},
		{"github.com/spf13/cobra", "internal/cli", "commands are called in-process by tests, whatever parses options"},
		{"github.com/spf13/pflag", "internal/cli", "as cobra"},
		{"go.yaml.in/yaml/v4", "internal/kit/conf", "configuration is the only YAML"},
		{"modernc.org/sqlite", "internal/kit/store", "records know one way in, whichever database keeps them"},
		{"github.com/jackc/pgx/v5", "internal/kit/store", "as SQLite"},
		{"github.com/nats-io", "internal/kit/bus", "others see subjects, events and leases"},
		{"github.com/minio/minio-go/v7", "internal/kit/blob", "an object is an object, wherever it lies"},
		{"github.com/danielgtaylor/huma/v2", "internal/kit/web", "operations are described in our words"},
		{"github.com/prometheus/client_golang", "internal/kit/obs", "others see counters and gauges"},
		{"go.etcd.io/bbolt", "internal/edge/cache", "others see a cache"},
		{"github.com/klauspost/compress", "internal/edge/rule", "others see a body"},
		{"github.com/gaissmai/bart", "internal/edge/route", "others see regions of addresses"},
		{"github.com/caddyserver/certmagic", "internal/kit/guard", "others see a tls.Config"},
		{"go.uber.org/zap", "internal/kit/guard", "certmagic logs to it, and we hand that to slog"},
		{"github.com/tus/tusd/v2", "internal/video/vod", "uploads come to one place"},
		{"github.com/bluenviron/gortmplib", "internal/flow/rtmp", "others see units of a hub"},
		{"github.com/datarhei/gosrt", "internal/flow/srt", "others see an input and a hub's reader"},
		{"github.com/bluenviron/gortsplib/v5", "internal/flow/rtsp", "others see an input, or units of a hub"},
		{"github.com/bluenviron/mediacommon/v2", "internal/flow", "gortsplib takes its types"},
		{"github.com/pion/rtp", "internal/flow", "gortsplib and pion/webrtc hand out its packets"},
		{"github.com/pion/rtcp", "internal/flow", "as pion/rtp"},
		{"github.com/pion/webrtc/v4", "internal/flow/peer", "others see an input, or units of a hub"},
		{"github.com/pion/interceptor", "internal/flow/peer", "as pion/webrtc"},
		{"github.com/pion/ice/v4", "internal/flow/peer", "as pion/webrtc"},
		{"github.com/pion/turn/v5", "internal/flow/peer", "as pion/webrtc"},
		{"github.com/pion/sdp/v3", "internal/flow/peer", "as pion/webrtc"},
		{"github.com/pion/logging", "internal/flow/peer", "pion logs to it, and we hand that to slog"},
		{"golang.org/x/exp", "internal/video/vod", "only because tusd logs through it"},
		{"github.com/quic-go/quic-go", "internal/kit/h3", "others see a server beside one for TCP"},
		{"github.com/pb33f/libopenapi", "", "the API's document is held against answers by test/api only"},
		{"github.com/pb33f/libopenapi-validator", "", "as libopenapi"},
		{"github.com/google/go-cmp", "internal/testkit", "for tests"},
		{"go.uber.org/goleak", "internal/testkit", "for tests"},
		{"github.com/rogpeppe/go-internal", "", "for tests"},
		{"pgregory.net/rapid", "", "for tests"},
		{"golang.org/x/net", "internal/kit/lane", "what net/http takes for a field of a request"},
		{"golang.org/x/sync", "internal", "an extension of the standard library"},
		{"golang.org/x/sys", "internal", "an extension of the standard library"},
		{"golang.org/x/text", "internal", "an extension of the standard library"},
	}
}

func familyOf(importPath string) (family, bool) {
	for _, f := range families() {
		if under(importPath, f.module) {
			return f, true
		}
	}
	return family{}, false
}

// isStandard reports whether the package comes with Go: its first element has no
// dot.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func TestEngines(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if isStandard(imported) {
				continue
			}
			f, known := familyOf(imported)
			switch inTestsOnly := !slices.Contains(p.Imports, imported); {
			case !known:
				t.Errorf("%s imports %s: decide in families() which package wraps it, and add it to %s", p.path(), imported, dependencyPage)
			case inTestsOnly:
			case f.folder == "":
				t.Errorf("%s imports %s: only tests may", p.path(), imported)
			case !under(p.path(), f.folder):
				t.Errorf("%s imports %s, which is %s's: %s", p.path(), imported, f.folder, f.because)
			case under(p.path(), "internal/base"):
				t.Errorf("%s imports %s: base is standard library only", p.path(), imported)
			}
		}
	}
}

const dependencyPage = "docs/internals/dependencies.md"

// Each direct dependency has one line that says why, and each line a dependency.
func TestDependencyPage(t *testing.T) {
	t.Parallel()
	text := string(readFile(t, dependencyPage))
	listed := make(map[string][]string)
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		name := strings.TrimSpace(cells[0])
		if len(cells) < 2 || !strings.HasPrefix(name, "`") {
			continue
		}
		name = strings.Trim(name, "`")
		if listed[name] != nil {
			t.Errorf("%s: %s is listed twice", dependencyPage, name)
		}
		listed[name] = cells
	}
	want := slices.Concat(goModules(t, "go.mod"), goModules(t, "tools/go.mod"), npmPackages(t))
	for _, name := range want {
		cells := listed[name]
		if cells == nil {
			t.Errorf("%s: no line for %s", dependencyPage, name)
			continue
		}
		if len(cells) != 5 || slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) == "" }) {
			t.Errorf("%s: %s needs five cells: name, what for, used by, licence, why", dependencyPage, name)
			continue
		}
		if f, ok := familyOf(name); ok && f.folder != "" && strings.Trim(cells[2], " `") != f.folder {
			t.Errorf("%s: %s is used by %s, the page says %s", dependencyPage, name, f.folder, cells[2])
		}
	}
	for name := range listed {
		if !slices.Contains(want, name) {
			t.Errorf("%s: %s is no direct dependency", dependencyPage, name)
		}
	}
}

// goModules lists the direct requirements and the tools of a go.mod.
func goModules(t *testing.T, path string) (names []string) {
	t.Helper()
	block := "" // the directive whose lines these are
	for line := range strings.Lines(string(readFile(t, path))) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[1] == "(":
			block = fields[0]
		case len(fields) == 1 && fields[0] == ")":
			block = ""
		case block == "require" && len(fields) == 2, block == "tool" && len(fields) == 1:
			names = append(names, fields[0])
		case len(fields) == 3 && fields[0] == "require":
			names = append(names, fields[1])
		case len(fields) == 2 && fields[0] == "tool":
			names = append(names, fields[1])
		}
	}
	return names
}

// npmPackages lists the direct dependencies of each package.json.
func npmPackages(t *testing.T) (names []string) {
	t.Helper()
	for _, path := range files(t) {
		if filepath.Base(path) != "package.json" {
			continue
		}
		var manifest struct {
			Dependencies    map[string]string `json:"dependencies"`
			DevDependencies map[string]string `json:"devDependencies"`
		}
		if err := json.Unmarshal(readFile(t, path), &manifest); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, list := range []map[string]string{manifest.Dependencies, manifest.DevDependencies} {
			for name, version := range list {
				if strings.ContainsAny(version, "^~*<>") {
					t.Errorf("%s: %s %s: name an exact version", path, name, version)
				}
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
