// Package docs runs what the documents say.
package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// block is one fenced block of shell commands.
type block struct {
	heading string // of the section that it stands in
	code    string
	want    []string // lines of the output, in order, "…" for anything
}

// marked begins a line of a block that says what comes out.
const marked = "#> "

// blocks returns the blocks of a page that are fenced as sh.
func blocks(page string) []block {
	var all []block
	heading, inside, skipping := "", false, false
	for line := range strings.Lines(page) {
		text := strings.TrimRight(line, "\n")
		switch {
		case inside && text == "```":
			inside = false
		case inside:
			last := &all[len(all)-1]
			last.code += line
			if want, ok := strings.CutPrefix(text, marked); ok {
				last.want = append(last.want, want)
			}
		case strings.HasPrefix(text, "```"):
			inside = !skipping && text == "```sh"
			skipping = !skipping && !inside
			if inside {
				all = append(all, block{heading: heading})
			}
		case !skipping && strings.HasPrefix(text, "#"):
			heading = strings.TrimLeft(text, "# ")
		}
	}
	return all
}

// missing returns the first wanted line that the output does not have after the
// ones before it, or "".
func (b block) missing(output string) string {
	lines := strings.Split(output, "\n")
	for _, want := range b.want {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, " ")), "…", ".*") + "$"
		expression := regexp.MustCompile(pattern)
		found := false
		for !found && len(lines) > 0 {
			found = expression.MatchString(strings.TrimRight(lines[0], " "))
			lines = lines[1:]
		}
		if !found {
			return want
		}
	}
	return ""
}

// Whoever follows a tutorial sees what it says.
func TestFirstStream(t *testing.T) { follow(t, "tutorial/first-stream.md") }

func TestCompareGuide(t *testing.T) { follow(t, "guide/compare.md") }

func TestFirstCloud(t *testing.T) {
	testkit.Program(t, "curl")
	follow(t, "tutorial/first-cloud.md")
}

// follow runs the blocks of a page, in order, in one folder.
func follow(t *testing.T, name string) {
	testkit.FFmpeg(t)
	testkit.FFprobe(t)
	shell := testkit.Program(t, "bash")
	root := testkit.Root(t)
	liuyun := program.Build(t, root)
	page, err := os.ReadFile(filepath.Join(root, "docs", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	t.Cleanup(func() {
		if t.Failed() {
			killLeft(t, folder)
		}
	})
	for _, b := range blocks(string(page)) {
		if strings.Contains(b.code, "liuyun play") && !console.Built() {
			t.Logf("%s: left out, the pages are not built: make build", b.heading)
			continue
		}
		command := exec.CommandContext(t.Context(), shell, "-eu", "-o", "pipefail", "-c", b.code)
		command.Dir = folder
		command.Env = append(os.Environ(), "PATH="+filepath.Dir(liuyun.Path)+":"+os.Getenv("PATH"), "XDG_CONFIG_HOME="+folder)
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, &output
		if err := command.Run(); err != nil {
			t.Fatalf("%s: %v\n%s\n%s", b.heading, err, b.code, output.Bytes())
		}
		if want := b.missing(output.String()); want != "" {
			t.Fatalf("%s: no line %q in the output of\n%s\nwhich is\n%s", b.heading, want, b.code, output.Bytes())
		}
	}
}

// killLeft ends what the blocks left running when one of them failed: each server
// wrote its process id into a file NAME.pid.
func killLeft(t *testing.T, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.pid"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // usually gone
	}
}

// The reader of pages must be able to fail.
func TestBlocks(t *testing.T) {
	t.Parallel()
	const page = "# One\n```sh\necho a1\n#> a…\n```\n```console\n$ no\n# no heading\n```\n## Two\n```sh\necho b\n#> b\n#> c\n```\n"
	all := blocks(page)
	if len(all) != 2 || all[0].heading != "One" || all[1].heading != "Two" {
		t.Fatalf("got %+v, want two blocks, of One and Two", all)
	}
	tests := []struct {
		block  block
		output string
		want   string
	}{
		{all[0], "x\na1\n", ""},
		{all[0], "xa1\n", "a…"},
		{all[1], "b\nc\n", ""},
		{all[1], "c\nb\n", "c"},
		{all[1], "b\n", "c"},
	}
	for _, test := range tests {
		if got := test.block.missing(test.output); got != test.want {
			t.Errorf("%s with %q: missing %q, want %q", test.block.heading, test.output, got, test.want)
		}
	}
}
