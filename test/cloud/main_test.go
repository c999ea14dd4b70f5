package cloud

import (
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

// Most of the time tests wait, for a lease to end or for a node to be missed.
func TestMain(m *testing.M) {
	testkit.AtOnce(6)
	os.Exit(m.Run())
}
