package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"liuyun/internal/av/quality"
)

// searchPart is a piece of a shared clip.
type searchPart struct {
	file   string
	length float64 // seconds from its beginning
}

// searchProgrammes are the programmes of over a minute that searches are measured
// with, at 720p; -quick has them small.
var searchProgrammes = []struct {
	name  string
	parts []searchPart
}{
	{"mixed", []searchPart{
		{"live_multishot/wave_croatia_1080p25_8s.mp4", 7}, {"talking/meeting2_720p25_38s.webm", 6}, {"people_motion/football_juggle_720p24_10s.mp4", 6},
		{"animation/bbb_480p24_30s_6ch.mp4", 8}, {"dark/nasa_spotlight_180p_17s.mp4", 6}, {"people_motion/marathon_400p2997_5s.mp4", 4.9},
		{"screen/pdf_scroll_1024x768.264", 2}, {"nature/flower_timelapse_540p_5s.mp4", 5}, {"live_multishot/bikes_272p25_10s.mp4", 10},
		{"live_multishot/gotland_sailing_360p24_10s.mp4", 6},
	}},
	{"people", []searchPart{
		{"people_motion/woman_dog_720p2997_10s.mp4", 9.6}, {"talking/jwp_talk_480p_6s.mp4", 5.7}, {"talking/asl_woman_480p30_4s.mkv", 3.6},
		{"talking/meeting2_720p25_38s.webm", 8}, {"vr360/factory_360_640x322_40s.mp4", 6}, {"chroma/greenscreen_man_axe_360x640_5s.mp4", 4.5},
		{"people_motion/marathon_400p2997_5s.mp4", 4.9}, {"people_motion/football_juggle_720p24_10s.mp4", 10}, {"dark/nasa_spotlight_180p_17s.mp4", 10},
	}},
	{"animation and screen", []searchPart{
		{"animation/bbb_480p24_30s_6ch.mp4", 30}, {"phone_vfr/phone_screen_vfr_1080x2280_8s.mp4", 8}, {"animation/bbb_720p25_5s_5ch_hq.mp4", 5.2},
		{"screen/pdf_scroll_1024x768.264", 2}, {"live_multishot/gotland_sailing_360p24_10s.mp4", 10}, {"dark/nasa_spotlight_180p_17s.mp4", 6},
	}},
}

// searchBases are the CRFs of the single passes, and of what searches begin with.
var searchBases = [...]float64{22, 26, 30, 34}

// searchLowest is the lowest CRF there is, of a further single pass: from all passes
// it is reckoned what every shot at one quality takes.
const searchLowest = 14

// searchTargets are the VMAFs of every shot that are compared with, and constantBar
// is the share of their bits that a search may take.
var searchTargets = [...]float64{90, 93, 95}

const constantBar = 0.88

// searchKinds are the efforts, with the bar of each in BD-rate, percent, and in
// CPU time over one pass.
var searchKinds = []struct {
	name     string
	rate     float64
	cpuTimes float64
}{{"off", 0, 1}, {"quick", -2.5, 1.8}, {"thorough", -4, 3}}

// searched is one encode of a programme.
type searched struct {
	searchPoint
	CPU      float64       // of the units: encoding, checks, metrics
	Measured float64       // of that, metrics and the decode for them
	Encodes  float64       // of the whole
	Errors   []float64     // of foretold quality, a shot
	CRF      float64       // that was asked for
	Shots    []searchShot  // none of a single pass
	Pictures []searchPoint // each one: its bits, and of one in vmafEvery its scores
}

// searchPoint is what pictures came to: VMAF and VMAF NEG are means.
type searchPoint struct{ Bits, VMAF, NEG float64 }

// searchShot is a range of pictures.
type searchShot struct{ First, Count int }

// searchModel is what searches go by.
const searchModel = "vmaf_v0.6.1neg.json"

// measureSearch compares renditions whose shots have searched qualities with one
// CRF for all shots, everything else alike: bits for the same mean VMAF and VMAF
// NEG, what it cost, and how well what came out was foretold.
func measureSearch(ctx context.Context, b *bench) ([]result, error) {
	height, bases := 720, searchBases[:]
	if b.flags.quick {
		height, bases = 270, bases[1:3]
	}
	var results []result
	for _, p := range searchProgrammes {
		if b.flags.programme != "" && b.flags.programme != p.name {
			continue
		}
		found, err := b.searchProgramme(ctx, fmt.Sprintf("%s %dp", p.name, height), height, p.parts, bases)
		results = append(results, found...)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

func (b *bench) searchProgramme(ctx context.Context, name string, height int, parts []searchPart, bases []float64) ([]result, error) {
	c, err := b.joinParts(ctx, name, height, parts)
	if err != nil {
		return nil, err
	}
	models, err := b.vmafModels("vmaf_v0.6.1.json", "vmaf_v0.6.1neg.json")
	if err != nil {
		return nil, err
	}
	made := map[string][]searched{}
	for _, kind := range searchKinds {
		crfs := bases
		if kind.name == "off" {
			crfs = append(slices.Clone(bases), searchLowest)
		}
		for _, crf := range crfs {
			s, err := b.searchOnce(ctx, c, kind.name, crf, models)
			if err != nil {
				return nil, err
			}
			made[kind.name] = append(made[kind.name], s)
			b.say("  %s, CRF %g, %s: %.2f Mbit, VMAF %.2f, NEG %.2f, %.1f CPU s", name, crf, kind.name, s.Bits/1e6, s.VMAF, s.NEG, s.CPU)
		}
	}
	all := made["off"]
	off := all[:len(bases)]
	var results []result
	for _, kind := range searchKinds[1:] {
		list := made[kind.name]
		for _, metric := range []string{"VMAF", "VMAF NEG"} {
			change, err := quality.BDRate(ratePoints(off, metric), ratePoints(list, metric))
			if err != nil {
				return results, err
			}
			results = append(results, result{
				Peer: "one CRF for all shots", Clip: name + ", " + kind.name + ", " + metric, Preset: "medium", Unit: "bits at equal quality",
				Ours: 1 + change/100, Theirs: 1, Bar: 1 + kind.rate/100, Bound: atMost, Notes: fmt.Sprintf("BD-rate %.2f %% over CRF %g to %g", change, bases[0], bases[len(bases)-1]),
			})
		}
		var ours, theirs, measured, encodes, sum, worst float64
		count := 0
		for i := range list {
			ours, theirs = ours+list[i].CPU, theirs+off[i].CPU
			measured, encodes = measured+list[i].Measured, encodes+list[i].Encodes/float64(len(list))
			for _, e := range list[i].Errors {
				sum, worst = sum+math.Abs(e), max(worst, math.Abs(e))
				count++
			}
		}
		results = append(results, result{
			Peer: "one CRF for all shots", Clip: name + ", " + kind.name + ", cost", Preset: "medium", Unit: "CPU s",
			Ours: ours, Theirs: theirs, Bar: kind.cpuTimes, Bound: atMost, Parts: []part{{"metrics and the decode for them", measured}},
			Notes: fmt.Sprintf("%.2f encodes of everything; all units and metrics, without analysis and packaging", encodes),
		}, result{
			Peer: "an error of one point", Clip: name + ", " + kind.name + ", foretold quality", Preset: "medium", Unit: "points, mean over shots",
			Ours: sum / float64(max(1, count)), Theirs: 1, Bar: 1, Bound: atMost, Notes: fmt.Sprintf("%d shots, the worst by %.2f points (bar: 3)", count, worst),
		})
		results = append(results, againstConstant(name+", "+kind.name, all, list)...)
	}
	return results, nil
}

func ratePoints(list []searched, metric string) []quality.Point {
	points := make([]quality.Point, len(list))
	for i, s := range list {
		points[i] = quality.Point{Rate: s.Bits, Quality: s.VMAF}
		if metric != "VMAF" {
			points[i].Quality = s.NEG
		}
	}
	return points
}

// joinParts is parts of 16:9 at 25 frames a second, end to end.
func (b *bench) joinParts(ctx context.Context, name string, height int, parts []searchPart) (clip, error) {
	c := clip{name: "programme-" + strings.ReplaceAll(name, " ", "-"), ladder: fmt.Sprintf("%d:20M", height)}
	var inputs, args []string
	var graph, joined strings.Builder
	for i, part := range parts {
		path, err := b.media(part.file)
		if err != nil {
			return c, err
		}
		inputs = append(inputs, path)
		args = append(args, "-t", strconv.FormatFloat(part.length, 'f', -1, 64), "-i", path)
		fmt.Fprintf(&graph, "[%d:v:0]fps=25,scale=w=%d:h=%d:flags=bicubic:out_range=tv,setsar=1,format=yuv420p[v%d];", i, height*16/9, height, i)
		fmt.Fprintf(&joined, "[v%d]", i)
	}
	fmt.Fprintf(&graph, "%sconcat=n=%d:v=1:a=0[v]", joined.String(), len(parts))
	args = append(args, "-filter_complex", graph.String(), "-map", "[v]", "-c:v", "libx264", "-preset", "veryfast", "-crf", "8", "-g", "50")
	var err error
	c.path, err = b.cached(ctx, c.name+".mp4", inputs, args)
	return c, err
}

func (b *bench) vmafModels(names ...string) ([]*quality.Model, error) {
	shared := os.Getenv("LIUYUN_SHARED")
	if shared == "" {
		shared = filepath.Join(filepath.Dir(b.root), "shared")
	}
	var models []*quality.Model
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(shared, "vmaf", name))
		if err != nil {
			return nil, &absentError{"shared model " + name}
		}
		model, err := quality.ParseModel(data)
		if err != nil {
			return nil, err
		}
		models = append(models, model)
	}
	return models, nil
}

// searchOnce encodes a programme and measures what came out, or takes what the same
// program came to before: all encodes of a programme take half an hour, and a run
// that was stopped goes on where it was.
func (b *bench) searchOnce(ctx context.Context, c clip, kind string, base float64, models []*quality.Model) (s searched, err error) {
	program, err := os.ReadFile(b.liuyun)
	if err != nil {
		return searched{}, err
	}
	key := sha256.Sum256(fmt.Appendf(program, "%s %s %g %s 1", c.ladder, kind, base, searchModel))
	path := filepath.Join(filepath.Dir(c.path), fmt.Sprintf("searched-%x.json", key[:8]))
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &s) == nil {
		return s, nil
	}
	if s, err = b.searchAnew(ctx, c, kind, base, models); err != nil {
		return searched{}, err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return searched{}, err
	}
	return s, os.WriteFile(path, data, 0o600)
}

func (b *bench) searchAnew(ctx context.Context, c clip, kind string, base float64, models []*quality.Model) (searched, error) {
	model, err := b.shared("vmaf/" + searchModel)
	if err != nil {
		return searched{}, err
	}
	made, err := b.encode(ctx, encode{clip: c, preset: "medium", jobs: len(b.cpus), more: []string{
		"--optimize", kind, "--crf", strconv.FormatFloat(base, 'f', -1, 64), "--vmaf-model", model,
	}})
	if err != nil {
		return searched{}, err
	}
	defer os.RemoveAll(made.folder)
	rung := made.report.Renditions[0]
	path := filepath.Join(made.folder, filepath.FromSlash(rung.Playlist))
	s := searched{CPU: made.report.Run.UnitsCPU, Measured: made.report.Run.Measured, Encodes: 1, CRF: base}
	if s.Pictures, err = b.pictureBits(ctx, path); err != nil {
		return searched{}, err
	}
	if len(s.Pictures) != made.report.Plan.Frames {
		return searched{}, fmt.Errorf("%d pictures were made of %d", len(s.Pictures), made.report.Plan.Frames)
	}
	if rung.Search != nil {
		s.Encodes = rung.Search.Encodes
		for _, shot := range rung.Search.Shots {
			if shot.Rest {
				s.Shots[len(s.Shots)-1].Count += shot.Pictures
			} else {
				s.Shots = append(s.Shots, searchShot{shot.First, shot.Pictures})
			}
			if shot.Expected != nil {
				s.Errors = append(s.Errors, shot.Expected.Quality-shot.Quality)
			}
		}
	}
	if err := b.sampleVMAF(ctx, c.path, path, rung.Width, rung.Height, models, s.Pictures); err != nil {
		return searched{}, err
	}
	s.searchPoint = meanOf(s.Pictures)
	return s, nil
}

// vmafEvery: one picture in so many is measured here, others than searches measure.
const vmafEvery = 5

// measuredHere reports whether picture n is one of them.
func measuredHere(n int) bool { return n > vmafEvery && n%vmafEvery == 1 }

// meanOf is all bits of pictures and the mean scores of those that were measured;
// at is the first one's number.
func meanOf(pictures []searchPoint) searchPoint { return meanFrom(pictures, 0, len(pictures)) }

func meanFrom(pictures []searchPoint, from, to int) searchPoint {
	var sum searchPoint
	count := 0.0
	for n := from; n < to; n++ {
		sum.Bits += pictures[n].Bits
		if measuredHere(n) {
			sum.VMAF, sum.NEG, count = sum.VMAF+pictures[n].VMAF, sum.NEG+pictures[n].NEG, count+1
		}
	}
	sum.VMAF, sum.NEG = sum.VMAF/count, sum.NEG/count
	return sum
}

// sampleVMAF measures some of the pictures that were made by both models.
func (b *bench) sampleVMAF(ctx context.Context, source, made string, width, height int, models []*quality.Model, pictures []searchPoint) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reference, err := b.lumaOf(ctx, source, fmt.Sprintf(`lt(mod(n\,%d)\,2)*gte(n\,%d)`, vmafEvery, vmafEvery))
	if err != nil {
		return err
	}
	output, err := b.lumaOf(ctx, made, fmt.Sprintf(`eq(mod(n\,%d)\,1)*gte(n\,%d)`, vmafEvery, vmafEvery))
	if err != nil {
		return err
	}
	meter, err := quality.NewMeter(width, height, 8, models...)
	if err != nil {
		return err
	}
	picture := func() quality.Plane {
		return quality.Plane{Width: width, Height: height, Stride: width, Depth: 8, Pix: make([]byte, width*height)}
	}
	before, ref, dis := picture(), picture(), picture()
	for n := vmafEvery + 1; n < len(pictures); n += vmafEvery {
		_, err = io.ReadFull(output, dis.Pix)
		for _, p := range []quality.Plane{before, ref} {
			if err == nil {
				_, err = io.ReadFull(reference, p.Pix)
			}
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", filepath.Base(made), err)
		}
		scores, err := meter.Frame(ref, dis, &before)
		if err != nil {
			return err
		}
		pictures[n].VMAF, pictures[n].NEG = scores.VMAF[0], scores.VMAF[1]
	}
	return nil
}

// pictureBits are the bits of each picture of a stream, in the order in which they
// are shown.
func (b *bench) pictureBits(ctx context.Context, path string) ([]searchPoint, error) {
	list, err := b.codedPictures(ctx, path)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b codedPicture) int { return cmp.Compare(a.pts, b.pts) })
	pictures := make([]searchPoint, len(list))
	for i, p := range list {
		pictures[i].Bits = 8 * float64(p.bytes)
	}
	return pictures, nil
}

// lumaOf decodes the luma of the pictures that expr selects. It ends with ctx.
func (b *bench) lumaOf(ctx context.Context, path, expr string) (io.Reader, error) {
	args := append(b.quietFFmpeg(), "-threads", "1", "-i", path, "-map", "0:v:0", "-vf", "select=expr="+expr+",extractplanes=y", "-fps_mode", "passthrough", "-f", "rawvideo", "-")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { <-ctx.Done(); _ = cmd.Wait() }()
	return bufio.NewReaderSize(out, 1<<20), nil
}
