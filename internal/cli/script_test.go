package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"liuyun/internal/cli"
	"liuyun/internal/testkit"
	"liuyun/internal/testkit/fakecloud"
)

// TestMain lets scripts run this binary as liuyun.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"liuyun": func() { os.Exit(cli.Main(context.Background(), cli.Process("v0.0.0-test"))) },
	})
}

// TestScripts plays the stories in testdata/script, one a file. Those about
// media find clip.mp4 in their folder, three seconds of picture and sound; all find
// earlier, a backup that an earlier version made.
func TestScripts(t *testing.T) {
	t.Parallel()
	var clip []byte
	if _, err := exec.LookPath("ffmpeg"); err == nil || os.Getenv("CI") != "" {
		if clip, err = os.ReadFile(testkit.Generate(t, testkit.Pattern(320, 180, "25", 3))); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each run waits a second under -race
			if err := os.CopyFS(filepath.Join(env.WorkDir, "earlier"), os.DirFS("../app/testdata/format1/backup")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "clip.mp4"), clip, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "objects": objects, "cut": cut, "cloud": cloud},
	})
}

// status is the script command `status N program argument...`: the program must
// leave with that exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program argument...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// objects is the script command `objects FILE TYPE`: each line of the file is a
// JSON object with a type, and the last one's type is TYPE.
func objects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: objects FILE TYPE")
	}
	var last struct{ Type string }
	for line := range bytes.Lines([]byte(ts.ReadFile(args[0]))) {
		last.Type = ""
		if err := json.Unmarshal(line, &last); err != nil || last.Type == "" {
			ts.Fatalf("line %q is no object with a type: %v", line, err)
		}
	}
	if last.Type != args[1] {
		ts.Fatalf("the last object is a %q, want a %q", last.Type, args[1])
	}
}

// cloud is the script command `cloud`: a cloud that answers from memory runs until
// the end of the story. $CLOUD is its address, admin.key has its key, and the
// program keeps what login tells it in a folder of its own.
func cloud(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: cloud")
	}
	c := fakecloud.Serve()
	ts.Defer(c.Close)
	ts.Setenv("CLOUD", c.URL)
	ts.Setenv("XDG_CONFIG_HOME", ts.MkAbs("config"))
	ts.Check(os.WriteFile(ts.MkAbs("admin.key"), []byte(fakecloud.AdminKey+"\n"), 0o600))
}

// cut is the script command `cut FROM TO BYTES`: TO is the beginning of FROM.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FROM TO BYTES")
	}
	size, err := strconv.Atoi(args[2])
	ts.Check(err)
	data := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(data[:min(size, len(data))]), 0o600))
}
