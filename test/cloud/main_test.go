package cloud

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// liuyun is the program, built once for all tests.
func liuyun(t *testing.T) program.Program {
	t.Helper()
	return program.Build(t, testkit.Root(t))
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
