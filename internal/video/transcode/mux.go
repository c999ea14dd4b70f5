package transcode

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
)

// muxed is what has been written of one track: what manifests need to know.
type muxed struct {
	Folder    string // below the output folder, with slashes
	Codecs    string
	Timescale int64
	Durations []int64 // of the segments, ticks
	Sizes     []hls.SegmentSize
	IFrames   []hls.Range // first picture of each segment with its headers
	Bytes     int64
}

const (
	initName    = "init.mp4"
	segmentName = "%05d.m4s"
	mediaName   = "media.m3u8"
	iframesName = "iframes.m3u8"
)

// muxVideo writes the init segment and the media segments of a rendition into
// folder. cuts are the first frames of the segments at the timeline's rate.
func (a *assembled) mux(root, folder string, cuts []int, count int) (*muxed, error) {
	out := &muxed{Folder: folder, Timescale: a.timescale}
	var err error
	if out.Codecs, err = mp4.CodecString(a.codec(), a.config); err != nil {
		return nil, err
	}
	path := filepath.Join(root, filepath.FromSlash(folder))
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	head, err := mp4.AppendVideoInit(nil, a.track())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(path, initName), head, 0o644); err != nil {
		return nil, err
	}
	step := a.Rung.Step
	for _, p := range a.pieces {
		file, err := os.Open(p.path)
		if err != nil {
			return nil, err
		}
		for i, cut := range cuts {
			from, to := framesAt(cut, step), framesAt(count, step)
			if i+1 < len(cuts) {
				to = framesAt(cuts[i+1], step)
			}
			if from < p.first || from >= p.first+len(p.samples) {
				continue
			}
			samples := p.samples[from-p.first : to-p.first]
			if err = a.writeSegment(out, path, i+1, int64(from), samples, file); err != nil {
				break
			}
		}
		file.Close()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *assembled) writeSegment(out *muxed, path string, number int, first int64, samples []mp4.Sample, source io.ReaderAt) error {
	segment := mp4.Segment{Sequence: uint32(number), DecodeTime: uint64(first * a.duration), Samples: samples}
	head, size, err := writeSegment(filepath.Join(path, fmt.Sprintf(segmentName, number)), segment, source)
	if err != nil {
		return fmt.Errorf("segment %d of %s: %w", number, a.ID, err)
	}
	ticks := int64(len(samples)) * a.duration
	out.add(ticks, size)
	out.IFrames = append(out.IFrames, hls.Range{Offset: 0, Length: head + int64(samples[0].Size)})
	return nil
}

func (m *muxed) add(ticks, size int64) {
	m.Durations = append(m.Durations, ticks)
	m.Sizes = append(m.Sizes, hls.SegmentSize{Duration: ticksDuration(ticks, m.Timescale), Bytes: size})
	m.Bytes += size
}

func ticksDuration(ticks, timescale int64) time.Duration {
	return time.Duration(float64(ticks) / float64(timescale) * float64(time.Second))
}

// writeSegment writes one media segment with samples from source and returns
// the size of what comes before the samples, and of the whole.
func writeSegment(path string, segment mp4.Segment, source io.ReaderAt) (head, size int64, err error) {
	header, err := mp4.AppendSegmentHeader(nil, segment)
	if err != nil {
		return 0, 0, err
	}
	file, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	if _, err := file.Write(header); err != nil {
		return 0, 0, err
	}
	size = int64(len(header))
	for _, run := range contiguous(segment.Samples) {
		n, err := io.Copy(file, io.NewSectionReader(source, run.offset, run.length))
		if err != nil {
			return 0, 0, err
		}
		if n != run.length {
			return 0, 0, io.ErrUnexpectedEOF
		}
		size += n
	}
	return int64(len(header)), size, nil
}

type span struct{ offset, length int64 }

// contiguous joins samples that lie end to end in their file.
func contiguous(samples []mp4.Sample) []span {
	var spans []span
	for _, sample := range samples {
		size := int64(sample.Size)
		if last := len(spans) - 1; last >= 0 && spans[last].offset+spans[last].length == sample.Offset {
			spans[last].length += size
			continue
		}
		spans = append(spans, span{sample.Offset, size})
	}
	return spans
}

// muxAudio cuts the encoded sound of the whole file at the frames nearest to
// the segment boundaries of the picture.
func (t *audioTrack) mux(root string, boundaries []time.Duration) (*muxed, error) {
	out := &muxed{Folder: "audio/" + t.ID, Timescale: int64(t.encoded.Timescale)}
	var err error
	if out.Codecs, err = mp4.CodecString(mp4.AAC, t.encoded.Config); err != nil {
		return nil, err
	}
	path := filepath.Join(root, filepath.FromSlash(out.Folder))
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	head, err := mp4.AppendAudioInit(nil, t.track())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(path, initName), head, 0o644); err != nil {
		return nil, err
	}
	file, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for i, run := range t.cut(boundaries) {
		if run.first == run.end {
			break // the sound has ended
		}
		segment := mp4.Segment{
			Sequence:   uint32(i + 1),
			DecodeTime: uint64(run.decode),
			Samples:    t.encoded.Samples[run.first:run.end],
		}
		_, size, err := writeSegment(filepath.Join(path, fmt.Sprintf(segmentName, i+1)), segment, file)
		if err != nil {
			return nil, fmt.Errorf("segment %d of audio %s: %w", i+1, t.ID, err)
		}
		out.add(run.presented, size)
	}
	return out, nil
}

// writeMP4 writes one progressive file with the rendition and the sound.
func (a *assembled) writeMP4(path string, tracks []*audioTrack) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	var open []*os.File
	defer func() {
		for _, file := range open {
			file.Close()
		}
	}()
	source := func(path string, samples []mp4.Sample) (mp4.Source, error) {
		file, err := os.Open(path)
		if err == nil {
			open = append(open, file)
		}
		return mp4.Source{R: file, Samples: samples}, err
	}
	video := &mp4.ProgressiveVideo{VideoTrack: a.track()}
	for _, p := range a.pieces {
		s, err := source(p.path, p.samples)
		if err != nil {
			return err
		}
		video.Sources = append(video.Sources, s)
	}
	var audio []mp4.ProgressiveAudio
	for _, t := range tracks {
		s, err := source(t.path, t.encoded.Samples)
		if err != nil {
			return err
		}
		audio = append(audio, mp4.ProgressiveAudio{AudioTrack: t.track(), Sources: []mp4.Source{s}})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 256<<10)
	if err := mp4.WriteProgressive(out, video, audio); err != nil {
		return err
	}
	return out.Flush()
}
