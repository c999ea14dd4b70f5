package ffmpeg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// TestExplainText reads what ffmpeg 5.1 printed for real files and mistakes.
func TestExplainText(t *testing.T) {
	t.Parallel()
	tools := &Tools{Version: Version{5, 1, "5.1.9"}}
	tests := []struct {
		file string // in testdata/stderr
		code fault.Code
		want string
	}{
		{"bad_option", fault.Internal, "clip: ffmpeg failed: Error splitting the argument list: Option not found"},
		{"disk_full", fault.StorageFull, "the disk is full: make room and run it again, it goes on where it stopped"},
		{"hls", fault.Invalid, "clip is a playlist that names other files, not media: give the media file itself"},
		{"mp3_short", fault.Invalid, "clip is damaged: its beginning makes no sense"},
		{"no_encoder", fault.Unavailable, "clip: this ffmpeg (5.1.9) has no encoder libnothing: install a full build"},
		{"no_filter", fault.Unavailable, "clip: this ffmpeg (5.1.9) has no filter nothing: install a full build"},
		{"no_mdat", fault.Invalid, "clip is not a media file, or its beginning is damaged: copy or upload it again, or export it anew from the program that made it"},
		{"no_moov", fault.Invalid, "clip is incomplete: its index (moov) is missing, so a recording, copy or upload did not finish"},
		{"no_stream", fault.Invalid, "clip has no such stream"},
		{"ogg_crc", fault.Invalid, "clip ends before any picture or sound: it is incomplete"},
		{"ogg_no_setup", fault.Invalid, "clip is damaged: Extradata missing."},
		{"ogg_setup", fault.Invalid, "clip is damaged: its beginning makes no sense"},
		{"picture", fault.Invalid, "clip is a still picture, not a video"},
		{"segment_alone", fault.Invalid, "clip is a media segment without its beginning: join it with its initialisation segment first"},
		{"too_large", fault.Invalid, "clip has pictures of 854x480, more than the limit"},
		{"unlisted", fault.Invalid, "clip is in the format avi, which is not supported: convert it to MP4 or Matroska first"},
		{"vvc", fault.Invalid, "clip is H.266/VVC, which this ffmpeg (5.1.9) cannot decode: it needs ffmpeg 7 or later"},
	}
	files, err := filepath.Glob("testdata/stderr/*.txt")
	if err != nil || len(files) != len(tests) {
		t.Errorf("got %d files of stderr, %v, want %d", len(files), err, len(tests))
	}
	for _, tt := range tests {
		stderr, err := os.ReadFile(filepath.Join("testdata", "stderr", tt.file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		explain := tools.explain
		if tt.file == "ogg_no_setup" { // only ffprobe gives up on it
			explain = tools.explainProbe
		}
		err = explain(&proc.Error{Reason: proc.Exited, ExitCode: 1, Stderr: stderr}, Input{Name: "clip"})
		if fault.CodeOf(err) != tt.code || fault.Message(err) != tt.want {
			t.Errorf("%s: got %q %q\nwant %q %q", tt.file, fault.CodeOf(err), fault.Message(err), tt.code, tt.want)
		}
	}
}

// TestExplainNewerText has the forms that releases after 5.1 print.
func TestExplainNewerText(t *testing.T) {
	t.Parallel()
	tools := &Tools{Version: Version{7, 1, "7.1"}}
	tests := []struct{ stderr, want string }{
		{"[in#0 @ 0x1] [error] Error opening input: Invalid data found when processing input\n[error] Error opening input file /proc/self/fd/3.\n", "is not a media file"},
		{"[in#0 @ 0x1] [error] Error opening input: End of file\n", "ends before any picture or sound"},
		{"[out#0 @ 0x1] [error] Error writing trailer: No space left on device\n", "the disk is full"},
		{"[dec:none @ 0x1] [error] Decoder (codec apv) not found for input stream #0:0\n", "needs a decoder for apv"},
	}
	for _, tt := range tests {
		err := tools.explain(&proc.Error{Reason: proc.Exited, ExitCode: 183, Stderr: []byte(tt.stderr)}, Input{Name: "clip"})
		if !strings.Contains(fault.Message(err), tt.want) {
			t.Errorf("%q: got %q, want %q", tt.stderr, fault.Message(err), tt.want)
		}
	}
}

func TestExplainEnds(t *testing.T) {
	t.Parallel()
	tools := &Tools{}
	mine := errors.New("mine")
	tests := []struct {
		end       proc.Error
		code      fault.Code
		retryable bool
	}{
		{proc.Error{Reason: proc.Canceled}, fault.Canceled, false},
		{proc.Error{Reason: proc.CPULimit}, fault.Limit, false},
		{proc.Error{Reason: proc.MemoryLimit}, fault.Limit, false},
		{proc.Error{Reason: proc.WallLimit}, fault.Limit, false},
		{proc.Error{Reason: proc.FileSizeLimit}, fault.Limit, false},
		{proc.Error{Reason: proc.Signaled, Signal: syscall.SIGKILL}, fault.Unavailable, true},
		{proc.Error{Reason: proc.Signaled, Signal: syscall.SIGTERM}, fault.Unavailable, true},
		{proc.Error{Reason: proc.Signaled, Signal: syscall.SIGSEGV}, fault.Internal, false},
		{proc.Error{Reason: proc.Exited, ExitCode: 255}, fault.Unavailable, true},
		{proc.Error{Reason: proc.Exited, ExitCode: 255, Stderr: []byte("[error] bad\n")}, fault.Internal, false},
		{proc.Error{Reason: proc.Exited, ExitCode: 1}, fault.Internal, false},
		{proc.Error{Reason: proc.NotStarted, Err: fs.ErrNotExist}, fault.Unavailable, false},
		{proc.Error{Reason: proc.NotStarted, Err: syscall.EAGAIN}, fault.Unavailable, true},
		{proc.Error{Reason: proc.NotStarted, Err: mine}, fault.Internal, false},
		{proc.Error{Reason: proc.OutputFailed, Err: syscall.ENOSPC}, fault.StorageFull, false},
	}
	for _, tt := range tests {
		err := tools.explain(&tt.end, Input{Name: "clip"})
		if fault.CodeOf(err) != tt.code || Retryable(err) != tt.retryable {
			t.Errorf("%v: got %q, retryable %v, want %q, %v", &tt.end, fault.CodeOf(err), Retryable(err), tt.code, tt.retryable)
		}
	}
	if err := tools.explain(&proc.Error{Reason: proc.OutputFailed, Err: mine}, Input{}); err != mine {
		t.Errorf("got %v, want the writer's own error", err)
	}
	if err := tools.explain(mine, Input{}); err != mine {
		t.Errorf("got %v, want it unchanged", err)
	}
}

// FuzzMessages: whatever a child prints, it is summed up in bounded memory.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("[h264 @ 0x1] [error] error while decoding MB 1 2\n[warning] a\n"))
	f.Add([]byte("[[[] ] [error] [fatal] \xff\x00\n"))
	tools := &Tools{}
	f.Fuzz(func(t *testing.T, stderr []byte) {
		var log messageLog
		w := &lineWriter{each: log.add}
		fmt.Fprintf(w, "%s", stderr)
		if n := len(log.texts()); n > maxMessages {
			t.Errorf("got %d messages", n)
		}
		err := tools.explain(&proc.Error{Reason: proc.Exited, ExitCode: 1, Stderr: stderr}, Input{Name: "clip"})
		if fault.Message(err) == "" {
			t.Error("no message")
		}
	})
}
