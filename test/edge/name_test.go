package edge

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
)

// Who has taken over an edge, with its certificate, can report in its name and in no
// other's.
func TestOwnName(t *testing.T) {
	t.Parallel()
	c := startCloud(t, "control")
	shield, e := c.shielded(t, nil)
	identity, err := guard.OpenIdentity(filepath.Join(e.Data, "certs"))
	if err != nil {
		t.Fatal(err)
	}
	e.Kill() // what it says itself is not to be mistaken for it
	address := ""
	for _, argument := range c.arguments {
		if at, ok := strings.CutPrefix(argument, "bus.listen="); ok {
			address = at
		}
	}
	thief, err := bus.New(bus.Options{Name: e.Node, URLs: []string{"tls://" + address}, TLS: identity.ClientTLS(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- thief.Run(ctx, func() { close(ready) }) }()
	defer func() { cancel(); <-ended }()
	<-ready

	const own, stolen = 0.25, 0.5 // loads that are told
	report := func(subject, node string, load float64) {
		if err := thief.Publish(subject, edge.Report{Node: node, At: time.Now(), Load: load}); err != nil {
			t.Fatal(err)
		}
	}
	loads := func() (ofShield, ofEdge float64) {
		for e, err := range c.Edges.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.ID == shield.Node {
				ofShield = e.Load
			} else {
				ofEdge = e.Load
			}
		}
		return ofShield, ofEdge
	}
	eventually(t, patience, "an edge is heard in its own name", func() bool {
		for _, subject := range []string{bus.From(edge.SubjectReport, shield.Node), bus.From(edge.SubjectReport, e.Node), edge.SubjectReport} {
			report(subject, shield.Node, stolen)
		}
		report(bus.From(edge.SubjectReport, e.Node), e.Node, own)
		ofShield, ofEdge := loads()
		if ofShield == stolen {
			t.Fatal("an edge has reported in the name of another one")
		}
		return ofEdge == own
	})
	for _, subject := range []string{bus.From(edge.SubjectUsage, shield.Node), bus.From(edge.SubjectUsage, e.Node)} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := thief.Request(ctx, subject, edge.Usage{Node: shield.Node, Number: 1 << 60, Day: "2026-01-01", Bytes: map[string]int64{"ten_1": 1}}, nil)
		cancel()
		if err == nil {
			t.Errorf("usage of another edge is taken on %s", subject)
		}
	}
}
