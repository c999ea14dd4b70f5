package cli

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type moment struct {
	at          time.Duration // since the start
	phase       string
	done, total time.Duration
}

func play(s *session, moments []moment) {
	start := time.Unix(0, 0)
	p := s.newProgress()
	for _, m := range moments {
		p.now = func() time.Time { return start.Add(m.at) }
		p.update(m.phase, m.done, m.total)
	}
	p.finish()
}

func TestProgress(t *testing.T) {
	t.Parallel()
	const s = time.Second
	moments := []moment{
		{0, "analyse", 0, 60 * s},
		{50 * time.Millisecond, "analyse", 1 * s, 60 * s}, // too soon for any form
		{5 * s, "analyse", 30 * s, 60 * s},
		{6 * s, "encode", 20 * s, 60 * s}, // 20 s are kept from an earlier run
		{26 * s, "encode", 30 * s, 60 * s},
		{27 * s, "encode", 60 * s, 60 * s},
	}
	tests := []struct {
		name        string
		session     session
		out, screen string
	}{
		{
			name: "log",
			screen: "analyse   0 %\n" +
				"analyse  50 %  6.0×  0:05 left\n" +
				"encode  33 %\n" +
				"encode  50 %  0.50×  1:00 left\n",
		},
		{
			name:    "terminal",
			session: session{env: Env{Columns: 52}},
			screen: "\ranalyse   0 %  " + strings.Repeat("░", 35) + "\x1b[K" +
				"\ranalyse  50 %  6.0×  0:05 left  █████████░░░░░░░░░\x1b[K" +
				"\rencode  33 %  ████████████░░░░░░░░░░░░░░░░░░░░░░░░\x1b[K" +
				"\rencode  50 %  0.50×  1:00 left  █████████░░░░░░░░░\x1b[K" +
				"\rencode 100 %  1.9×  0:00 left  ███████████████████\x1b[K" +
				"\r\x1b[K",
		},
		{
			name:    "narrow terminal",
			session: session{env: Env{Columns: 20}},
			screen: "\ranalyse   0 %\x1b[K\ranalyse  50 %  6.0×\x1b[K\rencode  33 %\x1b[K" +
				"\rencode  50 %  0.50×\x1b[K\rencode 100 %  1.9× \x1b[K\r\x1b[K",
		},
		{
			name:    "json",
			session: session{json: true, env: Env{Columns: 52}},
			out: `{"type":"progress","phase":"analyse","fraction":0,"speed":0,"left":-1}
{"type":"progress","phase":"analyse","fraction":0.5,"speed":6,"left":5}
{"type":"progress","phase":"encode","fraction":0.3333333333333333,"speed":0,"left":-1}
{"type":"progress","phase":"encode","fraction":0.5,"speed":0.5,"left":60}
{"type":"progress","phase":"encode","fraction":1,"speed":1.9047619047619047,"left":0}
`,
		},
		{name: "quiet", session: session{quiet: true, env: Env{Columns: 52}}},
		{name: "quiet json", session: session{quiet: true, json: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out, screen bytes.Buffer
			test.session.env.Stdout, test.session.env.Stderr = &out, &screen
			play(&test.session, moments)
			if diff := cmp.Diff(test.out, out.String()); diff != "" {
				t.Errorf("standard output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.screen, screen.String()); diff != "" {
				t.Errorf("screen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgressOfAnUnknownTotal(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	play(&session{env: Env{Stderr: &screen}}, []moment{{0, "read", 0, 0}, {10 * time.Second, "read", 20 * time.Second, 0}})
	if got, want := screen.String(), "read\nread  2.0×\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLeftText(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{0: "0:00", 0.2: "0:01", 59.9: "1:00", 3599: "59:59", 3661: "1:01:01", 1e18: "100:00:00"} {
		if got := leftText(seconds); got != want {
			t.Errorf("%g: got %s, want %s", seconds, got, want)
		}
	}
}

// Units report from several goroutines, and one may do so after the end.
func TestProgressFromManyGoroutines(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	p := (&session{env: Env{Stderr: &screen, Columns: 80}}).newProgress()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for done := range time.Duration(100) {
				p.update("encode", done, 100)
			}
		})
	}
	p.finish()
	group.Wait()
}
