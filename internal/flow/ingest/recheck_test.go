package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/base/fault"
)

// porter answers who asks to watch as it is told, in turn, and lets them in after that.
type porter struct {
	Desk
	answers []error
	asked   int
}

func (p *porter) Watch(context.Context, string, string) (Program, error) {
	p.asked++
	if p.asked > len(p.answers) {
		return nil, nil
	}
	return nil, p.answers[p.asked-1]
}

func TestRecheck(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		answers []error
		asked   int
		why     string
	}{
		"a token that ends":       {[]error{nil, fault.New(fault.Forbidden, "it has ended")}, 2, "it has ended"},
		"a stream that is gone":   {[]error{nil, nil, fault.New(fault.NotFound, "it is gone")}, 3, "it is gone"},
		"a desk that is not sure": {[]error{fault.New(fault.Unavailable, "off"), errors.New("lost")}, 6, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 6*recheckEvery+time.Second)
				defer cancel()
				desk, why := &porter{answers: want.answers}, ""
				Recheck(ctx, desk, "str_1", "token", func(reason string) { why += reason })
				if why != want.why || desk.asked != want.asked {
					t.Errorf("asked %d times, and ended because %q", desk.asked, why)
				}
			})
		})
	}
}
