package rule

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"liuyun/internal/testkit"
)

// opened reads what is compressed as it comes.
func opened(t *testing.T, coding string, body io.Reader) io.Reader {
	t.Helper()
	if coding == codingGzip {
		r, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is sent slowly comes slowly, not at the end: 10 ms after it was sent.
func TestStreamsStayStreams(t *testing.T) {
	t.Parallel()
	for _, coding := range []string{codingGzip, codingZstd} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source, sender := io.Pipe()
				c := NewCompressor(1)
				body, ok := c.compress(coding, source)
				if !ok {
					t.Fatal("no room")
				}
				sent := []string{"one", "two", "three"}
				begin := time.Now()
				go func() {
					for _, text := range sent {
						time.Sleep(time.Second)
						_, _ = sender.Write([]byte(text))
					}
					time.Sleep(time.Second)
					_ = sender.Close()
				}()
				reader := opened(t, coding, body)
				for i, text := range sent {
					got := make([]byte, len(text))
					if _, err := io.ReadFull(reader, got); err != nil || string(got) != text {
						t.Fatalf("got %q, %v", got, err)
					}
					if late := time.Since(begin) - time.Duration(i+1)*time.Second; late < 0 || late > holdBack {
						t.Errorf("%q came %v after it was sent", text, late)
					}
				}
				if rest, err := io.ReadAll(reader); len(rest) != 0 || err != nil {
					t.Errorf("at the end there is %q, %v", rest, err)
				}
				if err := body.Close(); err != nil || len(c.room) != 0 {
					t.Errorf("%v, %d are under way", err, len(c.room))
				}
			})
		})
	}
}

// A source that never pauses is not held back for longer either.
func TestSteadyStreamIsNotHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source, sender := io.Pipe()
		body, _ := NewCompressor(1).compress(codingZstd, source)
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				time.Sleep(time.Millisecond)
				if _, err := sender.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		if _, err := io.ReadFull(opened(t, codingZstd, body), make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 20*time.Millisecond {
			t.Errorf("5 bytes took %v", took)
		}
		_ = body.Close()
		<-over
	})
}

// All of any length comes back, whatever pieces it is read in, one body after the other
// with the same encoders.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := NewCompressor(1)
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, size := range []int{0, 1, 1000, 32 << 10, 32<<10 + 1, 300 << 10, 3 << 20} {
		for _, coding := range []string{codingGzip, codingZstd} {
			for _, text := range []string{strings.Repeat("abc", size/3+1)[:size], string(noise[:min(size, len(noise))])} {
				body, ok := c.compress(coding, io.NopCloser(strings.NewReader(text)))
				if !ok {
					t.Fatal("no room: the one before was not given back")
				}
				got, err := io.ReadAll(opened(t, coding, body))
				if err != nil || string(got) != text {
					t.Errorf("%s: got %d bytes of %d, %v", coding, len(got), size, err)
				}
				_, _ = io.Copy(io.Discard, body) // zstd's reader knows the end by its frame
				_ = body.Close()
			}
		}
	}
}

// failing sends a little, and fails.
type failing struct{ err error }

func (f *failing) Read(p []byte) (int, error) { return copy(p, "text"), f.err }
func (f *failing) Close() error               { return f.err }

// What is not whole is not made to look so.
func TestFailureIsPassedOn(t *testing.T) {
	t.Parallel()
	c := NewCompressor(1)
	want := errors.New("the origin has gone")
	for _, coding := range []string{codingGzip, codingZstd} {
		body, ok := c.compress(coding, &failing{want})
		if !ok {
			t.Fatal("no room")
		}
		if _, err := io.ReadAll(body); !errors.Is(err, want) {
			t.Errorf("got %v", err)
		}
		if len(c.room) != 0 {
			t.Error("it takes room after its end")
		}
		if err := body.Close(); !errors.Is(err, want) {
			t.Errorf("closed: %v", err)
		}
	}
}

// Close ends a Read that waits, and gives all back, also where nothing was read or not
// all.
func TestCloseInTheMiddle(t *testing.T) {
	testkit.NoLeaks(t)
	c := NewCompressor(1)
	for range 50 {
		for _, coding := range []string{codingGzip, codingZstd} {
			for read := range 3 {
				source, sender := io.Pipe()
				body, ok := c.compress(coding, source)
				if !ok {
					t.Fatal("no room: the one before was not given back")
				}
				if _, ok := c.compress(coding, source); ok {
					t.Fatal("there is more room than for one")
				}
				done := make(chan error, 1)
				if read > 0 {
					go func() {
						_, err := io.Copy(io.Discard, body)
						done <- err
					}()
				}
				if read > 1 {
					_, _ = sender.Write([]byte("text"))
				}
				if err := body.Close(); err != nil {
					t.Fatal(err)
				}
				if err := body.Close(); err != nil {
					t.Fatal(err)
				}
				if read > 0 {
					if err := <-done; err == nil {
						t.Error("what is not whole looks so")
					}
				}
				if _, err := body.Read(make([]byte, 1)); !errors.Is(err, errClosed) {
					t.Errorf("got %v", err)
				}
			}
		}
	}
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	var none *Compressor
	for _, c := range []*Compressor{none, NewCompressor(0)} {
		if _, ok := c.compress(codingGzip, nil); ok {
			t.Error("there is room")
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	text := strings.Repeat("#EXTINF:4.004,\nsegment-000123.m4s\n", 3000)
	for _, coding := range []string{codingGzip, codingZstd} {
		b.Run(coding, func(b *testing.B) {
			c := NewCompressor(1)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				body, ok := c.compress(coding, io.NopCloser(strings.NewReader(text)))
				if !ok {
					b.Fatal("no room")
				}
				_, _ = io.Copy(io.Discard, body)
				_ = body.Close()
			}
		})
	}
}

// What an encoder takes is what NewCompressor says.
func BenchmarkEncoderMemory(b *testing.B) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32() % 64)
	}
	for _, coding := range []string{codingGzip, codingZstd} {
		b.Run(coding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := NewCompressor(1).pool(coding).Get().(*encoder)
				e.reset(io.Discard)
				_, _ = e.Write(noise)
				_ = e.Close()
			}
		})
	}
}
