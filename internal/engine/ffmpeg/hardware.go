package ffmpeg

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// HardwareEncoder is an encoder of this ffmpeg that works on a graphics or video
// processor.
type HardwareEncoder struct {
	Name  string // "h264_nvenc"
	Works bool   // it encoded a picture
	Why   string // it did not, else ""
}

// hardware is a family of such encoders: one a codec.
type hardware struct {
	suffix  string
	devices []string // patterns of the files without one of which there is none; none: the driver is asked
	filter  string   // brings the picture to the encoder
	// options ask for an output's quality and cap.
	options func(o Output) []string
}

func hardwareFamilies() []hardware {
	return []hardware{
		{"nvenc", nil, "format=yuv420p", Output.nvenc},
		{"qsv", []string{"/dev/dri/renderD*"}, "format=nv12", Output.qsv},
		{"vaapi", []string{"/dev/dri/renderD*"}, "format=nv12,hwupload", Output.vaapi},
		{"amf", []string{"/dev/dri/renderD*", "/dev/dxg"}, "format=nv12", Output.amf},
		{"v4l2m2m", []string{"/dev/video*"}, "format=yuv420p", Output.v4l2},
	}
}

// What stands for no family, and for the first that works.
const (
	HardwareOff  = "off"
	HardwareAuto = "auto"
)

// HardwareAsked reports whether the name stands for some hardware.
func HardwareAsked(name string) bool { return name != "" && name != HardwareOff }

// CheckHardware says what the name of a family may be. None is HardwareOff.
func CheckHardware(name string) error {
	if !HardwareAsked(name) || name == HardwareAuto || slices.Contains(HardwareFamilies(), name) {
		return nil
	}
	return fault.New(fault.Invalid, "there are no hardware encoders %.20q; choose from off, auto, %s", name, strings.Join(HardwareFamilies(), ", "))
}

// HardwareFamilies are the names that Tools.OnHardware knows, the one first that is
// to be preferred.
func HardwareFamilies() []string {
	var names []string
	for _, f := range hardwareFamilies() {
		names = append(names, f.suffix)
	}
	return names
}

// hardwareTime bounds one try. A driver may hang.
const hardwareTime = 10 * time.Second

// Hardware tries each hardware encoder of H.264, HEVC and AV1 that this ffmpeg was
// built with on one picture, one after the other: that it is listed says nothing of
// the machine. Where none of its devices is there nothing is started. It takes ten
// seconds an encoder at most, and much less but where a driver hangs.
func (t *Tools) Hardware(ctx context.Context) []HardwareEncoder {
	return t.hardware(ctx, globDevices)
}

func globDevices(pattern string) []string {
	found, _ := filepath.Glob(pattern) // the patterns are good
	return found
}

// found are the devices that are there.
func (h hardware) found(glob func(pattern string) []string) []string {
	var devices []string
	for _, pattern := range h.devices {
		devices = append(devices, glob(pattern)...)
	}
	slices.Sort(devices)
	return devices
}

// deviceArgs name the device that the filter loads pictures to, the first.
func (h hardware) deviceArgs(devices []string) []string {
	if h.suffix == "vaapi" && len(devices) > 0 {
		return []string{"-vaapi_device", devices[0]}
	}
	return nil
}

func (t *Tools) hardware(ctx context.Context, glob func(pattern string) []string) []HardwareEncoder {
	var found []HardwareEncoder
	for _, family := range hardwareFamilies() {
		devices := family.found(glob)
		for _, codec := range []string{"h264", "hevc", "av1"} {
			e := HardwareEncoder{Name: codec + "_" + family.suffix}
			switch {
			case !t.HasEncoder(e.Name):
				continue
			case len(family.devices) > 0 && len(devices) == 0:
				e.Why = "there is no device " + strings.Join(family.devices, " or ")
			default:
				e.Why = t.tryHardware(ctx, e.Name, family, devices)
			}
			e.Works = e.Why == ""
			found = append(found, e)
		}
	}
	return found
}

// tryHardware encodes one black picture and returns why that did not work, or "".
func (t *Tools) tryHardware(ctx context.Context, encoder string, family hardware, devices []string) string {
	args := []string{"-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+error"}
	args = append(args, family.deviceArgs(devices)...)
	args = append(args, "-f", "lavfi", "-i", "color=size=256x256:rate=25", "-frames:v", "1", "-vf", family.filter, "-c:v", encoder, "-f", "null", "-")
	// Drivers read what nobody can list and map all that the device has. The picture is
	// ours, so that nothing hostile is read.
	_, log, err := t.start(ctx, child{
		tool: t.ffmpeg, args: args, nice: 10, trusted: true,
		limits: proc.Limits{CPU: hardwareTime, Wall: hardwareTime},
	})
	if err == nil {
		return ""
	}
	return cmp.Or(log.first, err.Error())
}
