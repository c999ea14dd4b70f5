package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/control/gauge"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode"
)

// checkHardware tries the hardware encoders. None is needed, but those that may be used
// have to be fit for it.
func checkHardware(ctx context.Context, o DoctorOptions) Finding {
	tools, err := ffmpeg.Find(ctx, o.Config.FFmpeg)
	if err != nil {
		return Finding{Verdict: Bad, Found: "there is no ffmpeg to ask", Advice: "see ffmpeg"}
	}
	family := o.Config.Worker.Hardware
	if !ffmpeg.HardwareAsked(family) {
		return Finding{Verdict: Fine, Found: hardwareText(tools.Hardware(ctx)) + "; worker.hardware is off"}
	}
	on, tried, err := transcode.OnHardware(ctx, tools, family)
	if err != nil {
		return Finding{Verdict: Bad, Found: fault.Message(err), Advice: "set worker.hardware to off, or mend the driver: assets that ask for hardware are not made here"}
	}
	return Finding{Verdict: Fine, Found: fmt.Sprintf("%s; units of %s came out as they have to", hardwareText(tried), strings.Join(on.HardwareCodecs(), " and "))}
}

// hardwareText says which encoders work and why the others do not, those with one
// reason together.
func hardwareText(encoders []ffmpeg.HardwareEncoder) string {
	const none = "no hardware encoder works"
	if len(encoders) == 0 {
		return none + ": this ffmpeg was built without any"
	}
	var works, reasons []string
	by := make(map[string][]string)
	for _, e := range encoders {
		if e.Works {
			works = append(works, e.Name)
			continue
		}
		if by[e.Why] == nil {
			reasons = append(reasons, e.Why)
		}
		by[e.Why] = append(by[e.Why], e.Name)
	}
	text := none
	if len(works) > 0 {
		text = strings.Join(works, ", ") + " work"
	}
	for _, why := range reasons {
		text += fmt.Sprintf("; %s: %s", strings.Join(by[why], ", "), why)
	}
	return text
}

// coresText is a number of cores for people.
func coresText(n int) string {
	if n == 1 {
		return "1 core"
	}
	return strconv.Itoa(n) + " cores"
}

// checkWorker says by which figures work on this machine is counted.
func checkWorker(_ context.Context, o DoctorOptions) Finding {
	f := gauge.Known(o.Config.Worker)
	found := fmt.Sprintf("%s of %s, %.1f W at full load", coresText(f.Cores), f.CPU, f.Watts)
	if f.WattsFrom == worker.WattsModel {
		found += " by a published figure for its kind"
	}
	var lacks []string
	if f.Price == nil {
		lacks = append(lacks, "worker.price_per_hour")
	}
	if f.Carbon == nil {
		lacks = append(lacks, "worker.carbon_intensity")
	}
	if len(lacks) == 0 {
		return Finding{Verdict: Fine, Found: found}
	}
	return Finding{Verdict: Fine, Found: found + "; " + strings.Join(lacks, " and ") + " not set: what work costs or emits is unknown"}
}
