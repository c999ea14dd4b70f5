package live

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient lets calls by SRT end that a stop has left behind: they cannot be called off, and
// give up after a while.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	const connects, closes = 5 * time.Second, 4 * time.Second // see flow/srt
	for end := time.Now().Add(connects + closes); goleak.Find() != nil && time.Now().Before(end); {
	}
	return code
}
