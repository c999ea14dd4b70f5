package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/blob"
	"liuyun/internal/testkit"
)

// storeFolder puts all files of a folder into a store.
func storeFolder(t *testing.T, objects blob.Store, prefix, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		name, err := filepath.Rel(folder, path)
		if err == nil {
			_, err = objects.Put(t.Context(), prefix+filepath.ToSlash(name), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rendition makes a folder of segments as an asset has them.
func rendition(t *testing.T, clip, folder string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-v", "error", "-i", clip, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-g", "20"}, args...)
	command := exec.Command(testkit.FFmpeg(t), append(args, "-f", "hls", "-hls_time", "0.8", "-hls_segment_type", "fmp4",
		"-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", "%05d.m4s", "media.m3u8")...)
	command.Dir = folder
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// cache stands for a blob.Cache: the source is a file already.
type cache struct{ file string }

func (c cache) File(context.Context, string) (*os.File, error) {
	file, err := os.Open(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.Wrap(err, fault.NotFound, "there is no such object")
	}
	return file, err
}

// A worker makes a page and numbers of an asset. What cannot be laid over the source is
// told, and keeps the rest from nothing.
func TestJob(t *testing.T) {
	t.Parallel()
	tools := tools(t)
	clip := testkit.Generate(t, testkit.Numbered("25", 60, 30))
	objects, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	const result = "assets/a/made-1/"
	folder := t.TempDir()
	rendition(t, clip, filepath.Join(folder, "video/good"), "-crf", "20")
	rendition(t, clip, filepath.Join(folder, "video/bad"), "-crf", "40", "-vf", "scale=iw/2:ih/2")
	rendition(t, clip, filepath.Join(folder, "video/other"), "-vf", "crop=480:360")
	for _, name := range []string{"init.mp4", "00000.m4s"} {
		if err := os.MkdirAll(filepath.Join(folder, "video/junk"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "video/junk", name), []byte("no film"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	made := `{"plan":{"shot_starts_s":[0,0.8,1.2,99]},"renditions":[`
	for i, id := range []string{"good", "other", "junk", "bad"} {
		made += strings.Repeat(",", min(i, 1)) + fmt.Sprintf(`{"id":%q,"codec":"h264","playlist":"video/%[1]s/media.m3u8"}`, id)
	}
	if err := os.WriteFile(filepath.Join(folder, encode.ReportName), []byte(made+"]}"), 0o644); err != nil {
		t.Fatal(err)
	}
	storeFolder(t, objects, result, folder)

	full := false
	scratch := filepath.Join(t.TempDir(), "compare")
	h := NewHandler(Deps{
		Tools: tools, Objects: objects, Files: cache{clip}, Scratch: scratch, Workers: 1, Program: "test", Log: slog.New(slog.DiscardHandler),
		Looks: func(image.Image) (int, int, []float32, error) { return 2, 1, []float32{0, 1}, nil },
		Room: func(n int64) error {
			if n <= 0 {
				t.Errorf("room for %d bytes was asked for", n)
			}
			if full {
				return fault.New(fault.StorageFull, "full")
			}
			return nil
		},
	})
	var shares []float64
	tell := func(share float64, phase string) {
		if phase != encode.Compare {
			t.Errorf("phase %q", phase)
		}
		shares = append(shares, share)
	}
	ask := encode.CompareRequest{Name: "talk.mp4", Source: "assets/a/source", Result: result, Prefix: "assets/a/comparison-1/", Frames: 2}
	got, err := h.compare(t.Context(), ask, tell)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.LeftOut) != 2 || got.LeftOut[0].Rendition != "other" || !strings.Contains(got.LeftOut[0].Message, "another shape") || got.LeftOut[1].Rendition != "junk" {
		t.Errorf("left out %+v", got.LeftOut)
	}
	if !slices.IsSorted(shares) || len(shares) < 4 || shares[len(shares)-1] > 1 || shares[len(shares)-1] < 0.9 {
		t.Errorf("progress %v", shares)
	}
	page, numbers := readObject(t, objects, ask.Prefix+encode.ComparisonPage), readObject(t, objects, ask.Prefix+encode.ComparisonNumbers)
	if int(got.Stored) != len(page)+len(numbers) {
		t.Errorf("%d bytes are stored, %d are said", len(page)+len(numbers), got.Stored)
	}
	for _, want := range []string{"talk.mp4", "good", "bad", "data:image/jpeg", `class="saliency"`, "Made by", "test</footer>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	var c encode.Comparison
	if err := json.Unmarshal([]byte(numbers), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Encodes) != 2 || c.Encodes[0].Name != "good" || c.Every != 1 || len(c.Shots) != 3 || c.Shots[1] != (encode.ComparedShot{Start: 0.8, End: 1.2}) {
		t.Errorf("numbers %+v", c)
	}
	if a, b := c.Encodes[0], c.Encodes[1]; a.Scores[0].Mean <= b.Scores[0].Mean || a.Bytes <= b.Bytes || a.BitRate == 0 {
		t.Errorf("the good one has %+v, the bad one %+v", a, b)
	}
	if left, _ := os.ReadDir(scratch); len(left) > 0 {
		t.Errorf("%d things are left in scratch", len(left))
	}

	full = true
	if _, err := h.compare(t.Context(), ask, tell); fault.CodeOf(forTheQueue(t.Context(), err)) != fault.StorageFull {
		t.Errorf("on a full disk: %v", err)
	}
	full = false
	broken := &Handler{h.Deps}
	broken.Models = []string{"/secret/vmaf.json"}
	if _, err := broken.compare(t.Context(), ask, tell); fault.CodeOf(err) != fault.Unavailable || strings.Contains(fault.Message(err), "secret") {
		t.Errorf("with a model that is not there: %v", err)
	}
	for name, change := range map[string]func(a *encode.CompareRequest, h *Handler){
		"the result": func(a *encode.CompareRequest, _ *Handler) { a.Result = "assets/a/gone/" },
		"the source": func(_ *encode.CompareRequest, h *Handler) { h.Files = cache{clip + ".gone"} },
	} {
		ask, h := ask, &Handler{h.Deps}
		change(&ask, h)
		if _, err := h.compare(t.Context(), ask, tell); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.Message(err), "compare it again") {
			t.Errorf("without %s: %v", name, err)
		}
	}
	ask.Prefix = "../elsewhere/"
	if _, err := h.compare(t.Context(), ask, tell); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("into %s: %v", ask.Prefix, err)
	}
	if err := h.Clean(); err != nil {
		t.Error(err)
	}
}

// Where nothing fits, the reason of the last one is told.
func TestJobRefused(t *testing.T) {
	t.Parallel()
	s := Service{Tools: tools(t), Refused: func(*Entry, error) {}}
	clip := testkit.Generate(t, testkit.Numbered("25", 20))
	cropped := filepath.Join(t.TempDir(), "cropped.mp4")
	makeEncode(t, clip, cropped, "-vf", "crop=480:360")
	if _, err := compareFiles(t, s, Options{Every: 0}, clip, cropped); fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "another shape") {
		t.Errorf("got %v", err)
	}
}

func readObject(t *testing.T, objects blob.Store, name string) string {
	t.Helper()
	object, err := objects.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	text := make([]byte, object.Info().Size)
	if _, err := object.ReadAt(text, 0); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
