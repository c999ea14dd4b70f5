package cloud

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

var (
	build sync.Once
	built program.Program
)

// liuyun is the program, built once for all tests.
func liuyun(t *testing.T) program.Program {
	t.Helper()
	build.Do(func() { built = program.Build(t, testkit.Root(t)) })
	if built.Path == "" {
		t.Fatal("liuyun was not built: another test says why")
	}
	return built
}

// TestMain lets more tests run at a time than there are cores: most of the time
// they wait, for a lease to end or for a node to be missed.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
