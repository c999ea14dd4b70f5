package proc

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// The tail equals the end of everything written, however it was cut.
func TestTail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		var got tail
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 3*tailSize), 0, 8).Draw(t, "sizes") {
			chunk := bytes.Repeat([]byte{byte('a' + i)}, n)
			all = append(all, chunk...)
			if _, err := got.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		want := all[max(0, len(all)-tailSize):]
		if !bytes.Equal(got.bytes(), want) {
			t.Fatalf("tail: got %d bytes, want %d", len(got.bytes()), len(want))
		}
	})
}
