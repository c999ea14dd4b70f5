package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

type level string

type engineConfig struct {
	Path    string        `conf:"path" help:"The program."`
	Threads int           `conf:"threads" help:"How many threads."`
	Nice    uint8         `conf:"nice" help:"How nice."`
	Ratio   float64       `conf:"ratio" help:"A ratio."`
	Timeout time.Duration `conf:"timeout" help:"How long."`
	Memory  Bytes         `conf:"memory" help:"How much | at most."`
	Safe    bool          `conf:"safe" help:"Whether to be safe."`
	Codecs  []string      `conf:"codecs" help:"Which codecs."`
	Level   level         `conf:"log_level" help:"How loud."`
	Probe   limits        `conf:"probe" help:"When probing:"`
}

type limits struct {
	CPU time.Duration `conf:"cpu" help:"how much CPU time."`
}

func (c engineConfig) Validate() error {
	if c.Threads < 1 {
		return errors.New("threads must be at least 1")
	}
	return nil
}

type serverConfig struct {
	Listen string `conf:"listen" help:"Where to listen."`
}

func (serverConfig) Validate() error { return nil }

type testConfig struct {
	Engine engineConfig `conf:"engine" help:"What runs media."`
	Server serverConfig `conf:"server" help:"What answers."`
}

func defaults() testConfig {
	return testConfig{
		Engine: engineConfig{
			Path: "ffmpeg", Threads: 2, Nice: 5, Ratio: 1.5, Timeout: time.Hour,
			Memory: 512 << 20, Safe: true, Codecs: []string{"h264", "av1"}, Level: "info",
			Probe: limits{CPU: time.Minute},
		},
		Server: serverConfig{Listen: ":8080"},
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "liuyun.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEachSourceOverridesTheOneBefore(t *testing.T) {
	t.Parallel()
	file := writeFile(t, `
engine:
  path: from-file
  threads: 3
  timeout: 90s
  memory: 1GiB
  safe: false
  codecs: [hevc]
server:
`)
	got, err := Load(defaults(), Sources{
		File:    file,
		Environ: []string{"PATH=/bin", "LIUYUN_ENGINE_THREADS=4", "LIUYUN_ENGINE_LOG_LEVEL=debug", "LIUYUN_ENGINE_PROBE_CPU=2m", "LIUYUN_SHARED=/clips"},
		Set:     []string{"engine.threads=5", "engine.ratio=0.25", "engine.codecs=h264, av1", "server.listen=a=b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := testConfig{
		Engine: engineConfig{
			Path: "from-file", Threads: 5, Nice: 5, Ratio: 0.25, Timeout: 90 * time.Second,
			Memory: 1 << 30, Safe: false, Codecs: []string{"h264", "av1"}, Level: "debug",
			Probe: limits{CPU: 2 * time.Minute},
		},
		Server: serverConfig{Listen: "a=b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestNoSourcesGiveTheDefaults(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", writeFile(t, ""), writeFile(t, "# nothing\n"), writeFile(t, "---\n")} {
		got, err := Load(defaults(), Sources{File: file})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(defaults(), got); diff != "" {
			t.Errorf("file %q (-want +got):\n%s", file, diff)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		yaml string
		env  string
		set  string
		want string // FILE stands for the path
	}{
		{name: "unknown section", yaml: "engin:\n  path: x\n", want: `FILE:1: unknown section "engin"; did you mean "engine"?`},
		{name: "unknown field", yaml: "engine:\n  path: x\n  thread: 3\n", want: `FILE:3: unknown setting "thread" in section engine; did you mean "threads"?`},
		{name: "nothing near", yaml: "engine:\n  colour: x\n", want: `FILE:2: unknown setting "colour" in section engine`},
		{name: "twice", yaml: "server:\n  listen: a\n  listen: b\n", want: `FILE:3: "listen" is given twice`},
		{name: "section twice", yaml: "server:\n  listen: a\nserver:\n  listen: b\n", want: `FILE:3: "server" is given twice`},
		{name: "no value", yaml: "server:\n  listen:\n", want: `FILE:2: server.listen has no value`},
		{name: "list for one", yaml: "server:\n  listen: [a]\n", want: `FILE:2: server.listen must be one value: text`},
		{name: "map in list", yaml: "engine:\n  codecs: [{a: b}]\n", want: `FILE:2: engine.codecs must be a list of texts`},
		{name: "not a mapping", yaml: "- a\n", want: `FILE:1: the file must hold names with values`},
		{name: "section not a mapping", yaml: "server: 5\n", want: `FILE:1: server must hold names with values`},
		{name: "alias", yaml: "engine: &e\n  path: x\nserver: *e\n", want: `FILE:3: server must hold names with values`},
		{name: "documents", yaml: "server:\n---\nserver:\n", want: `FILE: more than one YAML document`},
		{name: "bad number", yaml: "engine:\n  threads: many\n", want: `FILE:2: engine.threads: "many" is not a whole number`},
		{name: "unknown variable", env: "LIUYUN_ENGINE_THREAD=1", want: `environment: unknown variable LIUYUN_ENGINE_THREAD; did you mean "LIUYUN_ENGINE_THREADS"?`},
		{name: "bad variable", env: "LIUYUN_ENGINE_SAFE=maybe", want: `environment: LIUYUN_ENGINE_SAFE: "maybe" is not true or false`},
		{name: "unknown set", set: "engine.pth=x", want: `--set: unknown setting "engine.pth"; did you mean "engine.path"?`},
		{name: "set without value", set: "engine.path", want: `--set engine.path: the form is section.field=value`},
		{name: "duration", set: "engine.timeout=5", want: `--set engine.timeout: "5" is not a duration such as 500ms, 30s or 1h30m`},
		{name: "size", set: "engine.memory=-1", want: `--set engine.memory: "-1" is not a size such as 512MiB or 2GB`},
		{name: "range", set: "engine.nice=256", want: `--set engine.nice: "256" is out of range`},
		{name: "negative", set: "engine.nice=-1", want: `--set engine.nice: "-1" is not a whole number from 0`},
		{name: "not finite", set: "engine.ratio=NaN", want: `--set engine.ratio: "NaN" is not a finite number`},
		{name: "validate", set: "engine.threads=0", want: `configuration: engine: threads must be at least 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var from Sources
			if test.yaml != "" {
				from.File = writeFile(t, test.yaml)
			}
			if test.env != "" {
				from.Environ = []string{test.env}
			}
			if test.set != "" {
				from.Set = []string{test.set}
			}
			got, err := Load(defaults(), from)
			if err == nil {
				t.Fatal("no error")
			}
			message := strings.ReplaceAll(fault.Message(err), from.File, "FILE")
			if from.File == "" {
				message = fault.Message(err)
			}
			if message != test.want {
				t.Errorf("got  %s\nwant %s", message, test.want)
			}
			if code := fault.CodeOf(err); code != fault.Invalid {
				t.Errorf("got code %q, want %q", code, fault.Invalid)
			}
			if diff := cmp.Diff(defaults(), got); diff != "" {
				t.Errorf("defaults changed on error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileProblems(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	tests := []struct {
		name, path string
		want       fault.Code
	}{
		{"absent", filepath.Join(folder, "absent.yaml"), fault.NotFound},
		{"folder", folder, fault.Invalid},
		{"broken", writeFile(t, "a: [\n"), fault.Invalid},
		{"too large", writeFile(t, strings.Repeat("#", maxFileSize+1)), fault.Invalid},
	}
	for _, test := range tests {
		_, err := Load(defaults(), Sources{File: test.path})
		if got := fault.CodeOf(err); got != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.name, got, err, test.want)
		}
	}
}

// A mistake in the struct is an error for the programmer, not for the user.
func TestSchemaMistakes(t *testing.T) {
	t.Parallel()
	type noTag struct {
		Server serverConfig `help:"x"`
	}
	type noHelp struct {
		Server serverConfig `conf:"server"`
	}
	type badName struct {
		Server serverConfig `conf:"my_server" help:"x"`
	}
	type notStruct struct {
		Server string `conf:"server" help:"x"`
	}
	type noValidate struct {
		Server struct {
			Listen string `conf:"listen" help:"x"`
		} `conf:"server" help:"x"`
	}
	type badType struct {
		Server struct {
			Listen map[string]string `conf:"listen" help:"x"`
		} `conf:"server" help:"x"`
	}
	type twice struct {
		Server struct {
			A string `conf:"a_b" help:"x"`
			B struct {
				C string `conf:"b" help:"x"`
			} `conf:"a" help:"x"`
		} `conf:"server" help:"x"`
	}
	errs := map[string]error{}
	_, errs["twice"] = Load(twice{}, Sources{})
	_, errs["no tag"] = Load(noTag{}, Sources{})
	_, errs["no help"] = Load(noHelp{}, Sources{})
	_, errs["bad name"] = Load(badName{}, Sources{})
	_, errs["not a struct"] = Load(notStruct{}, Sources{})
	_, errs["no Validate"] = Load(noValidate{}, Sources{})
	_, errs["bad type"] = Load(badType{}, Sources{})
	_, errs["no sections"] = Load(5, Sources{})
	for name, err := range errs {
		if err == nil || fault.CodeOf(err) != fault.Internal {
			t.Errorf("%s: got %v, want an internal error", name, err)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want Bytes
		text string
	}{
		{"0", 0, "0B"},
		{"1B", 1, "1B"},
		{"4096", 4096, "4KiB"},
		{"1536 KiB", 1536 << 10, "1536KiB"},
		{"512MiB", 512 << 20, "512MiB"},
		{"2GB", 2e9, "2GB"},
		{"3TiB", 3 << 40, "3TiB"},
		{"5KB", 5000, "5kB"},
	}
	for _, test := range tests {
		var got Bytes
		if err := got.UnmarshalText([]byte(test.in)); err != nil || got != test.want {
			t.Errorf("%q: got %d, %v, want %d", test.in, got, err, test.want)
		}
		if got.String() != test.text {
			t.Errorf("%q: got text %q, want %q", test.in, got, test.text)
		}
	}
	for _, in := range []string{"", "MiB", "-1MiB", "1.5GiB", "9999999TiB", "1MiBB", "lots"} {
		var got Bytes
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
}

func TestAnEmptyListIsNil(t *testing.T) {
	t.Parallel()
	for _, from := range []Sources{{Set: []string{"engine.codecs="}}, {File: writeFile(t, "engine: {codecs: []}")}} {
		got, err := Load(defaults(), from)
		if err != nil || got.Engine.Codecs != nil {
			t.Errorf("got %#v, %v, want nil", got.Engine.Codecs, err)
		}
	}
}

// The sample holds every setting: loaded over an empty configuration it gives
// back what it was made from, whatever the texts are.
func TestSampleLoadsToWhatItWasMadeFrom(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"plain", "", "null", "true", "5", "a: b # c", "'\"", "- x", "流云", "line\nbreak", strings.Repeat("long ", 50)} {
		want := defaults()
		want.Engine.Path, want.Engine.Codecs = odd, []string{odd, "x"}
		sample, err := Sample(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(testConfig{}, Sources{File: writeFile(t, string(sample))})
		if err != nil {
			t.Fatalf("%q: %v\n%s", odd, err, sample)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", odd, diff)
		}
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	page, err := Reference(defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## engine\n\nWhat runs media.\n",
		"| `engine.timeout` | `LIUYUN_ENGINE_TIMEOUT` | duration | `1h` | How long. |\n",
		"| `engine.memory` | `LIUYUN_ENGINE_MEMORY` | size | `512MiB` | How much \\| at most. |\n",
		"| `engine.probe_cpu` | `LIUYUN_ENGINE_PROBE_CPU` | duration | `1m` | When probing: how much CPU time. |\n",
		"| `engine.codecs` | `LIUYUN_ENGINE_CODECS` | list | `h264,av1` | Which codecs. |\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
}

func FuzzLoad(f *testing.F) {
	sample, err := Sample(defaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample, "engine.threads", "5")
	f.Add([]byte("a: &a [*a]\n"), "engine.codecs", "a,,b")
	f.Add([]byte("? [x]\n: y\n"), "server.listen", "\x00")
	f.Add([]byte("<<: {server: 1}\n"), "engine.memory", "9223372036854775807TiB")
	f.Add([]byte("engine: !!null x\nserver: {listen: !!binary aGk=}\n"), "", "")
	f.Fuzz(func(t *testing.T, text []byte, name, value string) {
		config := defaults()
		s, err := schemaOf(&config)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{s.applyYAML("f", text), s.applySet([]string{name + "=" + value})} {
			if err != nil && fault.CodeOf(err) != fault.Invalid {
				t.Errorf("got %v, want a fault of code invalid", err)
			}
		}
		if _, err := Sample(config); err != nil {
			t.Errorf("sample of what was loaded: %v", err)
		}
	})
}

func ExampleLoad() {
	config, err := Load(defaults(), Sources{Set: []string{"engine.timeout=30s"}})
	fmt.Println(config.Engine.Timeout, err)
	// Output: 30s <nil>
}
