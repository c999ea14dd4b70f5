package ffmpeg

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"liuyun/internal/base/fault"
)

// Input is a media file that a child may read: opened by the caller, so that
// the child needs no right to its name, and inherited as descriptor 3. Each
// child opens it again through that descriptor and has its own position, so one
// file serves any number of runs at once. The caller closes it after the last.
type Input struct {
	File *os.File // regular, open for reading; nil where nothing is read
	Name string   // for messages; "" takes the file's own
}

// InputURL names the Input in arguments: every "-i InputURL" is guarded, so that
// nothing but the file is opened. (ffmpeg before 6 has no fd protocol.)
const InputURL = "/proc/self/fd/3"

// Label is how messages name the input.
func (in Input) Label() string { return in.name() }

func (in Input) name() string {
	if in.Name == "" && in.File != nil {
		return filepath.Base(in.File.Name())
	}
	return in.Name
}

// check refuses what cannot be media before any child looks at it.
func (in Input) check() error {
	info, err := in.File.Stat()
	switch {
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "%s cannot be read", in.name())
	case info.IsDir():
		return fault.New(fault.Invalid, "%s is a folder, not a media file", in.name())
	case info.Mode()&fs.ModeType != 0:
		return fault.New(fault.Invalid, "%s is not a regular file: copy the media into one first", in.name())
	case info.Size() == 0:
		return fault.New(fault.Invalid, "%s is empty (0 bytes)", in.name())
	}
	return nil
}

// formats are the demuxers that may be used: those whose files hold all their
// data themselves. Never one that opens other files or addresses (hls, dash,
// concat, image2, sdp, rtsp, vobsub …), nor one that makes media up (lavfi).
const formats = "mov,matroska,mpegts,mpeg,mpegvideo,avi,flv,ogg,asf,mxf,nut,ivf,dv,gxf,wtv,rm,gif,apng," +
	"yuv4mpegpipe,h264,hevc,vvc,av1,obu,m4v,mjpeg,vc1,wav,w64,aiff,caf,au,mp3,aac,loas,ac3,eac3,dts,dtshd," +
	"truehd,mlp,flac,amr,amrnb,amrwb,wv,tta,tak,ape,mpc,mpc8,dsf,srt,webvtt,ass,ttml,sup"

// guards are the options that keep an input to the one file, its pictures to a
// size, and the look at its head to an amount that is the same for every tool,
// so that all of them see the same streams.
func (c Config) guards() []string {
	return []string{
		"-protocol_whitelist", "file",
		"-format_whitelist", formats,
		"-probesize", "20000000", // bytes
		"-analyzeduration", "20000000", // µs
		"-max_pixels", strconv.FormatInt(c.MaxPixels, 10),
	}
}

// guarded puts the guards before every "-i InputURL".
func (c Config) guarded(args []string) []string {
	out := make([]string, 0, len(args)+16)
	for i, arg := range args {
		if arg == "-i" && i+1 < len(args) && args[i+1] == InputURL {
			out = append(out, c.guards()...)
		}
		out = append(out, arg)
	}
	return slices.Clip(out)
}
