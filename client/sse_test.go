package client

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readAll(text string) (all []message, err error) {
	r := newEventReader(strings.NewReader(text))
	for {
		m, err := r.next()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

func TestEventStream(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []message
	}{
		{"plain", "id: 7\nevent: a\ndata: {}\n\n", []message{{"7", "a", []byte("{}")}}},
		{"CRLF, no space, comment", ": hi\r\nevent:a\r\ndata:x\r\n\r\n", []message{{"", "a", []byte("x")}}},
		{"lines", "data: x\ndata:\ndata:  y\n\n", []message{{"", "message", []byte("x\n\n y")}}},
		{"id is not kept", "id: 1\ndata: a\n\ndata: b\n\n", []message{{"1", "message", []byte("a")}, {"", "message", []byte("b")}}},
		{"without data", "id: 1\nevent: a\n\ndata: b\n\n", []message{{"", "message", []byte("b")}}},
		{"not ended", "data: a\n\ndata: b\n", []message{{"", "message", []byte("a")}}},
	}
	for _, test := range tests {
		got, err := readAll(test.text)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v at the end", test.name, err)
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(message{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if _, err := readAll("data: " + strings.Repeat("a", largestMessage) + "\n\n"); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an endless line: got %v", err)
	}
	if _, err := readAll(strings.Repeat("data: "+strings.Repeat("a", 1<<20)+"\n", 6)); !errors.Is(err, errLongMessage) {
		t.Errorf("an endless message: got %v", err)
	}
}

func FuzzEventStream(f *testing.F) {
	f.Add("id: 7\nevent: a\ndata: {}\n\n")
	f.Add(": c\r\ndata\ndata:x\n\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := readAll(text)
		if err == nil {
			t.Fatal("no error at the end")
		}
		total := 0
		for _, m := range all {
			total += len(m.data)
			_, _ = m.event()
		}
		if total > len(text) {
			t.Errorf("%d bytes of data came out of %d", total, len(text))
		}
	})
}

// A server that says nothing counts as gone.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		start, fired := time.Now(), make(chan time.Duration, 1)
		timer := time.AfterFunc(eventSilence, func() { fired <- time.Since(start) })
		body := &watched{r, timer, eventSilence}
		go func() {
			time.Sleep(30 * time.Second)
			_, _ = w.Write([]byte("x"))
		}()
		_, _ = body.Read(make([]byte, 1))
		if got := <-fired; got != 30*time.Second+eventSilence {
			t.Errorf("it fired after %s, want %s", got, 30*time.Second+eventSilence)
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	for try := range 100 {
		if got := pause(try+1, io.EOF); got <= 0 || got > longestPause {
			t.Errorf("try %d: got %s", try+1, got)
		}
	}
	if got := pause(1, &Error{retryAfter: 3 * time.Second}); got != 3*time.Second {
		t.Errorf("got %s, want what the server asks for", got)
	}
	if got := pause(1, &Error{retryAfter: time.Hour}); got != longestPause {
		t.Errorf("got %s, want no longer than %s", got, longestPause)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "Tue, 24 Nov 2026 12:00:07 GMT": 7 * time.Second} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("Retry-After %q: got %s, want %s", value, got, want)
		}
	}
}
