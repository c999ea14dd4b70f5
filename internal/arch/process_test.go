package arch

import (
	"slices"
	"testing"
)

// restriction keeps some names of a package to some folders.
type restriction struct {
	importPath string
	names      []string // empty: every name
	allowed    []string // folders; tests may always
	because    string
}

func restrictions() []restriction {
	commandLine := []string{"internal/cli", "cmd", "bench"}
	printing := []string{"Print", "Printf", "Println"}
	const streams = "only the command line touches the process's arguments, streams and exit, so that all else runs in a server and in tests"
	const environment = "only kit/conf reads the environment: a setting has one name, one default and one page"
	return []restriction{
		{"os", []string{"Args", "Exit", "Stdin", "Stdout", "Stderr"}, commandLine, streams},
		{"fmt", append([]string{"Scan", "Scanf", "Scanln"}, printing...), commandLine, streams},
		{"log", append([]string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}, printing...), nil, "logs are log/slog, injected"},
		{"flag", nil, []string{"bench", "internal/testkit"}, streams},
		{"os", []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv"},
			[]string{"internal/kit/conf", "internal/testkit", "bench"}, environment},
		{"syscall", []string{"Getenv", "Environ", "Setenv"}, nil, environment},
		{"golang.org/x/sys/unix", []string{"Getenv", "Environ", "Setenv"}, nil, environment},
	}
}

func TestOnlySomeTouchTheProcess(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.isTest() || under(s.path, "test") {
			continue
		}
		for _, r := range restrictions() {
			if underAny(s.folder(), r.allowed) {
				continue
			}
			s.uses(r.importPath, func(name string, line int) {
				if len(r.names) == 0 || slices.Contains(r.names, name) {
					t.Errorf("%s:%d: %s.%s: %s", s.path, line, r.importPath, name, r.because)
				}
			})
		}
	}
}
