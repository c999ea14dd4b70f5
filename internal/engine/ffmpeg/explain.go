package ffmpeg

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// Retryable reports whether err is a child's end that had nothing to do with
// its work: something outside killed it, or there was no room to start it. The
// same run may well succeed.
func Retryable(err error) bool {
	var e *proc.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Reason {
	case proc.Signaled:
		return e.Signal == syscall.SIGKILL || e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGHUP || e.Signal == syscall.SIGINT
	case proc.Exited:
		return stoppedPolitely(e)
	case proc.NotStarted:
		return errors.Is(e.Err, syscall.EAGAIN) || errors.Is(e.Err, syscall.ENOMEM)
	}
	return false
}

// stoppedPolitely is true when ffmpeg caught a signal and ended by itself: its
// exit status is 255 and it has nothing to complain of.
func stoppedPolitely(e *proc.Error) bool {
	return e.Reason == proc.Exited && e.ExitCode == 255 && lastError(string(e.Stderr)) == ""
}

// explain puts the end of a child into people's words.
func (t *Tools) explain(err error, in Input) error {
	var e *proc.Error
	if !errors.As(err, &e) {
		return err
	}
	name := in.name()
	if name == "" {
		name = "the work"
	}
	switch e.Reason {
	case proc.Canceled:
		return fault.Wrap(err, fault.Canceled, "stopped on request")
	case proc.OutputFailed:
		return explainOutput(e)
	case proc.NotStarted:
		return explainStart(e)
	case proc.CPULimit, proc.MemoryLimit, proc.WallLimit, proc.FileSizeLimit:
		return fault.Wrap(err, fault.Limit, "%s: ffmpeg reached its %s: the file needs more than is allowed, or is made to", name, e.Reason)
	}
	switch {
	case Retryable(err):
		return fault.Wrap(err, fault.Unavailable, "%s: ffmpeg was killed from outside (is the machine out of memory?): run it again", name)
	case e.Reason == proc.Signaled:
		return fault.Wrap(err, fault.Internal, "%s: ffmpeg crashed (%v): the file may be damaged; a newer ffmpeg may help", name, e.Signal)
	}
	return t.explainText(err, string(e.Stderr), name)
}

// explainProbe is explain for ffprobe, which is asked nothing that a sound file
// could make it fail at: what has no better explanation is the file's fault.
func (t *Tools) explainProbe(err error, in Input) error {
	var e *proc.Error
	err = t.explain(err, in)
	if fault.CodeOf(err) == fault.Internal && errors.As(err, &e) && e.Reason == proc.Exited {
		return fault.Wrap(e, fault.Invalid, "%s is damaged: %s", in.name(), cmp.Or(lastError(string(e.Stderr)), "ffprobe gave up on it"))
	}
	return err
}

// explainOutput gives back what a Pipe returned, but for a full disk.
func explainOutput(e *proc.Error) error {
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		return storageFull(e)
	}
	return e.Err
}

func storageFull(err error) error {
	return fault.Wrap(err, fault.StorageFull, "the disk is full: make room and run it again, it goes on where it stopped")
}

func explainStart(e *proc.Error) error {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return fault.Wrap(e, fault.Unavailable, "ffmpeg or the working folder is gone: install ffmpeg again, or make the folder")
	case Retryable(e):
		return fault.Wrap(e, fault.Unavailable, "ffmpeg could not be started: the machine has no processes or memory left")
	}
	return fault.Wrap(e, fault.Internal, "ffmpeg could not be started")
}

// symptom is a text that ffmpeg or ffprobe prints before it gives up. The first
// that is found counts: what concerns this machine comes before what concerns
// the file, the particular before the general.
type symptom struct {
	text    string // a regular expression; the submatch is put into message
	code    fault.Code
	message string // follows the input's name; $1 is the submatch, $version ours
}

func symptoms() []symptom {
	return []symptom{
		{`Cannot allocate memory`, fault.Unavailable, ": there is not enough memory: close other programs or run fewer at a time"},
		{`Unknown encoder '([^']{1,40})'`, fault.Unavailable, ": this ffmpeg ($version) has no encoder $1: install a full build"},
		{`No such filter: '([^']{1,40})'`, fault.Unavailable, ": this ffmpeg ($version) has no filter $1: install a full build"},
		{`\[(?:hls|dash|concat|applehttp|imf)[^\]]*\] \[error\] Format not on whitelist`, fault.Invalid, " is a playlist that names other files, not media: give the media file itself"},
		{`\[(?:sdp|rtsp|rtp)[^\]]*\] \[error\] Format not on whitelist`, fault.Invalid, " describes a network stream, not media: record it into a file first"},
		{`\[(?:image2|\w+_pipe|ico|alias_pix)[^\]]*\] \[error\] Format not on whitelist`, fault.Invalid, " is a still picture, not a video"},
		{`\[([\w,]{1,60})[^\]]*\] \[error\] Format not on whitelist`, fault.Invalid, " is in the format $1, which is not supported: convert it to MP4 or Matroska first"},
		{`not on whitelist`, fault.Invalid, " names other files or addresses, which are not opened: give one self-contained media file"},
		{`Picture size (\w+) exceeds specified max pixel count`, fault.Invalid, " has pictures of $1, more than the limit"},
		{`Picture size (\w+) is invalid`, fault.Invalid, " has pictures of an impossible size, $1: it is damaged or made to harm"},
		{`moov atom not found`, fault.Invalid, " is incomplete: its index (moov) is missing, so a recording, copy or upload did not finish"},
		{`could not find corresponding (?:track id|trex)`, fault.Invalid, " is a media segment without its beginning: join it with its initialisation segment first"},
		{`(?i)no decryption key|unable to decrypt|this file is encrypted|is encrypted`, fault.Invalid, " is encrypted: only unprotected media can be used"},
		{`Decoder \(codec (?:vvc|none)\) not found[^\n]*\n?[^\n]*(?:vvc|vvi)`, fault.Invalid, vvcAdvice},
		{`(?:vvc1|vvi1) /`, fault.Invalid, vvcAdvice},
		{`Decoder \(codec none\) not found`, fault.Invalid, " has a stream whose codec this ffmpeg ($version) does not know: a newer ffmpeg may"},
		{`(?:Decoder \(codec |No decoder could be found for codec |no decoder found for: )(\w{1,40})`, fault.Invalid, " needs a decoder for $1, which this ffmpeg ($version) has not: install a newer or fuller build"},
		{`Stream map '[^']{0,80}' matches no streams`, fault.Invalid, " has no such stream"},
		{`(?:Output file (?:#0 )?(?:is empty|does not contain any stream)|nothing was (?:encoded|written))`, fault.Invalid, " has nothing in it that decodes"},
		{`(?:/proc/self/fd/3|[Oo]pening input[^:\n]{0,80}): End of file`, fault.Invalid, " ends before any picture or sound: it is incomplete"},
		{`(?:/proc/self/fd/3|[Oo]pening input[^:\n]{0,80}): Invalid data found`, fault.Invalid, " is not a media file, or its beginning is damaged: copy or upload it again, or export it anew from the program that made it"},
		{`(?:/proc/self/fd/3|[Oo]pening input[^:\n]{0,80}): Permission denied`, fault.Internal, " may not be read by ffmpeg"},
		{`(?:/proc/self/fd/3|[Oo]pening input[^:\n]{0,80}): (?:Invalid argument|Unknown error occurred|Input/output error|Operation not permitted)`, fault.Invalid, " is damaged: its beginning makes no sense"},
		{`Permission denied`, fault.Internal, ": ffmpeg was refused a file that it needs"},
	}
}

const vvcAdvice = " is H.266/VVC, which this ffmpeg ($version) cannot decode: it needs ffmpeg 7 or later"

// explainText looks for a symptom in what a child that gave up had printed.
func (t *Tools) explainText(err error, stderr, name string) error {
	if strings.Contains(stderr, "No space left on device") || strings.Contains(stderr, "Disk quota exceeded") {
		return storageFull(err)
	}
	for _, s := range symptoms() {
		m := regexp.MustCompile(s.text).FindStringSubmatch(stderr)
		if m == nil {
			continue
		}
		message := strings.ReplaceAll(s.message, "$version", t.Version.Text)
		if len(m) > 1 {
			message = strings.ReplaceAll(message, "$1", m[1])
		}
		return fault.Wrap(err, s.code, "%s%s", name, message)
	}
	return fault.Wrap(err, fault.Internal, "%s: ffmpeg failed: %s", name, cmp.Or(lastError(stderr), "it did not say why"))
}

// lastError is the last message of level error, made fit for people; "" when
// there is none.
func lastError(stderr string) string {
	last := ""
	for line := range strings.Lines(stderr) {
		if level, text := splitLevel([]byte(line)); level != "" && level != "warning" {
			last = normalise(bytes.TrimSpace(text))
		}
	}
	return last
}
