// Package deploy checks what is in the folder deploy against the program and the
// checkout: the units and the Dockerfile name only what is there. There is no
// container engine in a test.
package deploy

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

const installed = "/usr/local/bin/liuyun" // where units look for the program

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unit is the settings of a unit file, several lines of one name together.
type unit map[string][]string

func parseUnit(text string) unit {
	u := make(unit)
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(line, "#") {
			u[name] = append(u[name], value)
		}
	}
	return u
}

// command is what a unit runs, with its variables as the unit sets them.
func (u unit) command(t *testing.T) []string {
	t.Helper()
	set := make(map[string]string)
	for _, assignment := range u["Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		set[name] = value
	}
	if len(u["ExecStart"]) != 1 {
		t.Fatalf("ExecStart: got %q", u["ExecStart"])
	}
	unknown := ""
	line := os.Expand(u["ExecStart"][0], func(name string) string {
		value, found := set[name]
		if !found {
			unknown = name
		}
		return value
	})
	if unknown != "" {
		t.Errorf("%s is set nowhere", unknown)
	}
	return strings.Fields(line)
}

// understands has the program read the options, and do nothing.
func understands(t *testing.T, p program.Program, arguments []string) {
	t.Helper()
	if out, err := exec.Command(p.Path, append(slices.Clone(arguments), "--help")...).CombinedOutput(); err != nil {
		t.Errorf("liuyun %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

func units() []string { return []string{"liuyun.service", "liuyun-worker.service"} }

func TestUnits(t *testing.T) {
	p := program.Build(t, testkit.Root(t))
	for _, name := range units() {
		u := parseUnit(read(t, name))
		command := u.command(t)
		if command[0] != installed || len(command) < 4 {
			t.Errorf("%s runs %q, want %s", name, command, installed)
		}
		understands(t, p, command[1:])
		state := "/var/lib/" + strings.Join(u["StateDirectory"], "")
		if at := slices.Index(command, "--data"); at < 0 || command[at+1] != state {
			t.Errorf("%s: %q has its data elsewhere than in %s, all that it may write to", name, command, state)
		}
	}
}

// The worker differs from the whole cloud in its command, and in that it listens on
// no low port.
func TestUnitsAreAlike(t *testing.T) {
	var settings []unit
	for _, name := range units() {
		u := parseUnit(read(t, name))
		for _, differs := range []string{"Description", "Environment", "ExecStart", "AmbientCapabilities", "CapabilityBoundingSet"} {
			delete(u, differs)
		}
		settings = append(settings, u)
	}
	if diff := cmp.Diff(settings[0], settings[1]); diff != "" {
		t.Errorf("(-cloud +worker):\n%s", diff)
	}
}

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the units are not verified")
	}
	p := program.Build(t, testkit.Root(t))
	folder := t.TempDir()
	arguments := []string{"verify"}
	for _, name := range units() {
		path := filepath.Join(folder, name)
		text := strings.ReplaceAll(read(t, name), installed, p.Path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, path)
	}
	if out, err := exec.Command(analyze, arguments...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUserIsMade(t *testing.T) {
	fields := strings.Fields(strings.Split(read(t, "liuyun.sysusers"), "\n")[1])
	for _, name := range units() {
		u := parseUnit(read(t, name))
		if want := []string{fields[1]}; !slices.Equal(u["User"], want) || !slices.Equal(u["Group"], want) {
			t.Errorf("%s runs as %s:%s, want %s", name, u["User"], u["Group"], want)
		}
	}
	sysusers, err := exec.LookPath("systemd-sysusers")
	if err != nil {
		t.Skip("systemd-sysusers is not installed: its file is not tried")
	}
	path := filepath.Join(testkit.Root(t), "deploy", "liuyun.sysusers")
	if out, err := exec.Command(sysusers, "--dry-run", path).CombinedOutput(); err != nil {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
}

// instructions are the lines of a Dockerfile by their first word.
func instructions(text string) unit {
	found := make(unit)
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != "" && !strings.HasPrefix(name, "#") {
			found[name] = append(found[name], strings.TrimSpace(rest))
		}
	}
	return found
}

func TestDockerfile(t *testing.T) {
	root, file := testkit.Root(t), instructions(read(t, "Dockerfile"))
	ignored := strings.Fields(read(t, "Dockerfile.dockerignore"))
	made := map[string]bool{"/src/internal/console/dist": true, "/liuyun": true} // by the stages
	for _, line := range file["COPY"] {
		words := strings.Fields(line)
		stage := strings.HasPrefix(words[0], "--from=")
		if stage {
			words = words[1:]
		}
		for _, source := range words[:len(words)-1] {
			top, _, _ := strings.Cut(source, "/")
			if _, err := os.Stat(filepath.Join(root, source)); !stage && (err != nil || !slices.Contains(ignored, "!"+top)) {
				t.Errorf("COPY %s: it is not in the checkout, or ignored", source)
			}
			if stage && !made[source] {
				t.Errorf("COPY %s: no stage makes it; the stages make %v", source, slices.Collect(maps.Keys(made)))
			}
		}
	}
	for path, text := range map[string]string{"web/vite.config.ts": "outDir: '../internal/console/dist'", "cmd/liuyun/main.go": "var version ="} {
		if content, err := os.ReadFile(filepath.Join(root, path)); err != nil || !strings.Contains(string(content), text) {
			t.Errorf("%s no longer says %q, on which the Dockerfile builds", path, text)
		}
	}
	var command []string
	if err := json.Unmarshal([]byte(file["CMD"][0]), &command); err != nil {
		t.Fatal(err)
	}
	understands(t, program.Build(t, root), command)
	if got := file["USER"]; !slices.Equal(got, []string{"liuyun"}) {
		t.Errorf("it runs as %v", got)
	}
	// A home that useradd makes has files of a shell in it, and the server takes no folder
	// with what is not its own.
	if run := strings.Join(file["RUN"], " "); !strings.Contains(run, "--no-create-home") || !strings.Contains(run, "-o liuyun -g liuyun "+command[slices.Index(command, "--data")+1]) {
		t.Errorf("the data folder is not made empty, and the server's: %q", run)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(goMod), "\ngo ")
	version = strings.Join(strings.SplitN(strings.Fields(version)[0], ".", 3)[:2], ".")
	if !slices.ContainsFunc(file["FROM"], func(from string) bool { return strings.HasPrefix(from, "golang:"+version+"-") }) {
		t.Errorf("no stage has Go %s, which go.mod asks for: %q", version, file["FROM"])
	}
}
