package live

import (
	"os"
	"testing"

	"liuyun/internal/testkit"
)

// What tests wait for comes at the pace of a camera.
func TestMain(m *testing.M) {
	testkit.AtOnce(4)
	os.Exit(m.Run())
}
