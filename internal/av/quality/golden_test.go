package quality

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"liuyun/internal/testkit"
)

// readModel reads a shared model, or skips the test.
func readModel(t testing.TB, name string) *Model {
	t.Helper()
	data, err := os.ReadFile(testkit.Shared(t, "vmaf/"+name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseModel(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// frame is the three planes of a picture.
type frame [3]Plane

// frames cuts planar 4:2:0 without gaps into frames.
func frames(data []byte, width, height, depth int) (all []frame) {
	size := 1
	if depth > 8 {
		size = 2
	}
	cw, ch := (width+1)/2, (height+1)/2
	luma, chroma := width*height*size, cw*ch*size
	for len(data) >= luma+2*chroma {
		all = append(all, frame{
			{width, height, width * size, depth, data[:luma]},
			{cw, ch, cw * size, depth, data[luma : luma+chroma]},
			{cw, ch, cw * size, depth, data[luma+chroma : luma+2*chroma]},
		})
		data = data[luma+2*chroma:]
	}
	return all
}

// y4m reads a file of 8-bit 4:2:0 pictures.
func y4m(t testing.TB, data []byte) (all []frame) {
	t.Helper()
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	var width, height int
	if _, err := fmt.Sscanf(string(head), "YUV4MPEG2 W%d H%d", &width, &height); err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	for len(rest) > 0 {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
		size := width*height + 2*((width+1)/2)*((height+1)/2)
		all = append(all, frames(rest[:size], width, height, 8)...)
		rest = rest[size:]
	}
	return all
}

// libvmaf's log of one clip.
type libvmafLog struct {
	Frames []struct {
		Metrics map[string]float64 `json:"metrics"`
	} `json:"frames"`
}

// goldenPair is a clip with what libvmaf says of each frame.
func goldenPair(t testing.TB, name string) (ref, dis []frame, want []map[string]float64) {
	t.Helper()
	data, err := os.ReadFile(testkit.Shared(t, "vmaf/pairs/"+name+".libvmaf.json"))
	if err != nil {
		t.Fatal(err)
	}
	var log libvmafLog
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	ref = y4m(t, testkit.Unxz(t, testkit.Shared(t, "vmaf/pairs/"+name+".ref.y4m.xz")))
	dis = y4m(t, testkit.Unxz(t, testkit.Shared(t, "vmaf/pairs/"+name+".dis.y4m.xz")))
	for _, f := range log.Frames {
		want = append(want, f.Metrics)
	}
	if len(ref) != len(want) || len(dis) != len(want) {
		t.Fatalf("%s: %d and %d frames, %d in the log", name, len(ref), len(dis), len(want))
	}
	return ref, dis, want
}

// measure scores all frames as libvmaf does.
func measure(t testing.TB, m *Meter, ref, dis []frame) []Scores {
	t.Helper()
	all := make([]Scores, len(ref))
	for i := range ref {
		var prev *Plane
		if i > 0 {
			prev = &ref[i-1][0]
		}
		var err error
		if all[i], err = m.Frame(ref[i][0], dis[i][0], prev); err != nil {
			t.Fatal(err)
		}
		if i > 1 {
			all[i-1].Settle(all[i].Motion())
		}
	}
	return all
}

func TestLibvmafAgrees(t *testing.T) {
	t.Parallel()
	models := []*Model{readModel(t, "vmaf_v0.6.1.json"), readModel(t, "vmaf_v0.6.1neg.json")}
	for _, name := range []string{"bbb", "football", "woman_dog"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref, dis, want := goldenPair(t, name)
			if testing.Short() { // a machine in software is slow: the first six, and what settles the sixth
				ref, dis, want = ref[:7], dis[:7], want[:6]
			}
			meter, err := NewMeter(ref[0][0].Width, ref[0][0].Height, 8, models...)
			if err != nil {
				t.Fatal(err)
			}
			worst := make(map[string]float64)
			for i, got := range measure(t, meter, ref, dis)[:len(want)] {
				check := func(name string, got, most float64) {
					worst[name] = max(worst[name], math.Abs(got-want[i][name]))
					if math.Abs(got-want[i][name]) > most {
						t.Errorf("frame %d: %s is %.6f, libvmaf says %.6f", i, name, got, want[i][name])
					}
				}
				check("vmaf", got.VMAF[0], 0.001)
				check("vmaf_neg", got.VMAF[1], 0.001)
				for j, suffix := range []string{"", "_egl_1"} {
					f := got.Features[j]
					check("integer_adm2"+suffix, f.ADM2, 1e-4)
					for s := range 4 {
						check(fmt.Sprintf("integer_vif_scale%d%s", s, suffix), f.VIF[s], 1e-4)
						check(fmt.Sprintf("integer_adm_scale%d%s", s, suffix), f.ADM[s], 1e-4)
					}
				}
				check("integer_motion2", got.Features[0].Motion2, 1e-5)
			}
			t.Logf("off by at most %.6f in vmaf, %.6f in vmaf_neg", worst["vmaf"], worst["vmaf_neg"])
		})
	}
}
