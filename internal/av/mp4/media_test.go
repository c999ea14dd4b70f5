package mp4

import (
	"os"
	"path/filepath"
	"testing"

	"liuyun/internal/testkit"
)

// TestSharedMedia reads whatever real and hostile MP4 files there are: each is
// refused, or read without a sample that lies outside it.
func TestSharedMedia(t *testing.T) {
	t.Parallel()
	for _, path := range testkit.MediaAll(t, ".") {
		if extension := filepath.Ext(path); extension != ".mp4" && extension != ".mov" && extension != ".m4a" {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		track, err := ReadTrack(file, info.Size())
		if err != nil {
			t.Logf("%s: %v", filepath.Base(path), err)
			continue
		}
		for i, s := range track.Samples {
			if s.Offset < 0 || s.Offset+int64(s.Size) > info.Size() {
				t.Errorf("%s: sample %d lies outside the file", filepath.Base(path), i)
			}
		}
		if _, err := CodecString(track.Codec, track.Config); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		t.Logf("%s: %s, %d samples from %d after %d", filepath.Base(path), track.Codec, len(track.Samples), track.MediaStart, track.Delay)
	}
}
