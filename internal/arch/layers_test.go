package arch

import (
	"slices"
	"strings"
	"testing"
)

// layer is a floor of the house. A package may import packages of lower floors
// and of its own room; rooms of one floor do not know each other.
type layer struct {
	name    string
	rooms   []string // folders; "internal/video/*" makes each child a room
	because string
}

// layers lists the floors from the ground up.
func layers() []layer {
	return []layer{
		{"base", []string{"internal/base"}, "words that everyone shares need nothing but the standard library"},
		{"contract", []string{"internal/contract"}, "what crosses a process is plain data: the platform carries it, and knows no more of it"},
		{"av, kit", []string{"internal/av", "internal/kit"},
			"media is pure and the platform knows no media, so that each is tested and replaced alone"},
		{"engine", []string{"internal/engine"}, "what runs media builds on both"},
		{"flow", []string{"internal/flow"}, "media in motion is shared by the domains"},
		{"domains", []string{"internal/video/*", "internal/edge/*", "internal/ai/*", "internal/data/*", "internal/control/*", "internal/console"},
			"a domain never imports another: it declares a small interface that app satisfies, or a type in contract"},
		{"app", []string{"internal/app"}, "only the composition knows all domains"},
		{"client", []string{"client"}, "the Go client shows what users outside can do: it sees nothing of the inside"},
		{"cli", []string{"internal/cli"}, "the command line is one way in, not a place for rules"},
		{"cmd", []string{"cmd"}, "main is signals and an exit status"},
		{"outside", []string{"test"}, "end-to-end tests may look at everything, nothing looks at them but benchmarks, which measure with the same clients"},
		{"bench", []string{"bench"}, "benchmarks may look at everything, nothing looks at them"},
	}
}

// notInTheHouse are packages for tests, which any test may use.
func notInTheHouse(path string) bool {
	return under(path, "internal/testkit") || under(path, "internal/arch")
}

// place returns the floor and the room of a package folder.
func place(path string) (floor int, room string) {
	for i, l := range layers() {
		for _, r := range l.rooms {
			parent, each := strings.CutSuffix(r, "/*")
			if !under(path, parent) {
				continue
			}
			if !each {
				return i, r
			}
			if rest, ok := strings.CutPrefix(path, parent+"/"); ok {
				child, _, _ := strings.Cut(rest, "/")
				return i, parent + "/" + child
			}
		}
	}
	return -1, ""
}

func TestLayers(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if notInTheHouse(p.path()) {
			checkHelper(t, p)
			continue
		}
		floor, room := place(p.path())
		if floor < 0 {
			t.Errorf("%s is in no layer: give it a place in layers()", p.path())
			continue
		}
		// A test outside its package may look further up; a package may not.
		for _, imported := range slices.Concat(p.Imports, p.TestImports) {
			path, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if notInTheHouse(path) {
				if slices.Contains(p.Imports, imported) {
					t.Errorf("%s imports %s: only tests may", p.path(), path)
				}
				continue
			}
			if f, r := place(path); f >= floor && r != room || layers()[floor].name == "client" {
				t.Errorf("%s imports %s: %s", p.path(), path, layers()[floor].because)
			}
		}
	}
}

// checkHelper holds the helpers of tests to base, or the tests of base's
// neighbours could not use them.
func checkHelper(t *testing.T, p pkg) {
	for _, imported := range p.Imports {
		if path, ours := strings.CutPrefix(imported, module); ours && !under(path, "internal/base") {
			t.Errorf("%s imports %s: what tests share may import base only", p.path(), path)
		}
	}
}

// The rules must be able to fail.
func TestPlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path  string
		layer string
		room  string
	}{
		{"internal/base/fault", "base", "internal/base"},
		{"internal/av/mp4", "av, kit", "internal/av"},
		{"internal/video/transcode/plan", "domains", "internal/video/transcode"},
		{"internal/video/vod", "domains", "internal/video/vod"},
		{"internal/client", "", ""},
		{"internal/video", "", ""},
		{"cmd/liuyun", "cmd", "cmd"},
	}
	for _, test := range tests {
		floor, room := place(test.path)
		name := ""
		if floor >= 0 {
			name = layers()[floor].name
		}
		if name != test.layer || room != test.room {
			t.Errorf("%s: got %q, %q, want %q, %q", test.path, name, room, test.layer, test.room)
		}
	}
}

// Media code is bytes in, bytes out: it runs in any process, on any input, and
// its tests need no files.
func TestMediaIsPure(t *testing.T) {
	t.Parallel()
	impure := []string{"os", "net", "syscall", "log", "plugin", "golang.org/x/sys", "golang.org/x/net"}
	pure := []string{"net/netip", "net/url"}
	for _, p := range packages(t) {
		if !under(p.path(), "internal/av") {
			continue
		}
		for _, imported := range p.Imports {
			if underAny(imported, impure) && !slices.Contains(pure, imported) {
				t.Errorf("%s imports %s: av is bytes in, bytes out", p.path(), imported)
			}
		}
	}
}
