package transcode

import (
	"strings"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
)

func pretend(t *testing.T, manner string) *ffmpeg.Tools {
	t.Helper()
	c := ffmpeg.DefaultConfig()
	c.FFmpegPath, c.FFprobePath, c.ReadDirs = testkit.Pretender(t, manner), testkit.FFprobe(t), []string{"/bin"}
	tools, err := ffmpeg.Find(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// An encoder is used when what it makes is what was asked for, and only then.
func TestOnHardware(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, manner, codecs, wrong string }{
		{"honest", testkit.Honest, "h264 hevc", ""},
		{"keyless", testkit.Keyless, "", "h264_nvenc: no key frame at frame 13"},
		{"forgetful", testkit.Forgetful, "", "h264_nvenc: 20 pictures encoded, the plan has 32"},
		{"fickle", testkit.Fickle, "", "h264_nvenc: the same pictures gave other bytes"},
		{"broken", testkit.Broken, "h264", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tools := pretend(t, tt.manner)
			on, tried, err := OnHardware(t.Context(), tools, ffmpeg.HardwareAuto)
			if len(tried) == 0 || tried[0].Name != "h264_nvenc" || tried[0].Works != (tt.wrong == "") || !strings.HasPrefix(tried[0].Name+": "+tried[0].Why, tt.wrong) {
				t.Errorf("found out: %+v", tried)
			}
			if tt.wrong != "" {
				if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), tt.wrong) {
					t.Fatalf("got %v, not %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(on.HardwareCodecs(), " "); got != tt.codecs {
				t.Errorf("codecs %q, not %q", got, tt.codecs)
			}
			if !strings.HasPrefix(on.Class, tools.Class+"-nvenc-") {
				t.Errorf("class %q beside %q", on.Class, tools.Class)
			}
			again, _, err := OnHardware(t.Context(), tools, "nvenc")
			if err != nil || again.Class != on.Class {
				t.Errorf("the next time: %v, class %q, not %q", err, again.Class, on.Class)
			}
		})
	}
}

// A film that hardware makes is whole, in a cloud as here, and another result than that
// of libx264.
func TestHardwareFilm(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	on, _, err := OnHardware(t.Context(), pretend(t, testkit.Honest), "nvenc")
	if err != nil {
		t.Fatal(err)
	}
	source := testkit.Generate(t, film())
	ask := c.request(source)
	library := c.mustRun(ask, c.handlers("a"))

	ask.Options.Hardware = true
	if _, err := c.run(t.Context(), ask, c.handlers("a")); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("by a worker without: %v", err)
	}
	with := func(name string) *Handlers {
		h := c.handlers(name)
		h.hardware = on.Sharing(h.tools)
		return h
	}
	made := c.mustRun(ask, with("b"), with("remote c"))
	if made.Prefix == library.Prefix || made.Reused != 0 {
		t.Errorf("made at %s, %d units reused; by libx264 at %s", made.Prefix, made.Reused, library.Prefix)
	}
	if made.Renditions[0].Size == library.Renditions[0].Size {
		t.Error("hardware made as many bytes as libx264")
	}
	c.tools = on
	sameFiles(t, c.files(made.Prefix), c.encodeHere(source, ask.Options))
	c.empty()
}

// What goes wrong in a driver is said of the encoder, and ends the unit.
func TestHardwareFails(t *testing.T) {
	t.Parallel()
	tools := pretend(t, testkit.Broken)
	c := newCloud(t)
	c.tools = tools.OnHardware("nvenc", "hevc")
	ask := c.request(testkit.Generate(t, film()))
	ask.Options.Codecs = []string{"h264", "hevc"}
	if _, err := c.run(t.Context(), ask, c.handlers("a")); err == nil || !strings.Contains(fault.Message(err), "hardware encoder of hevc") {
		t.Errorf("got %v", err)
	}
	c.empty()
}
