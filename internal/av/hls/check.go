package hls

import (
	"fmt"
	"slices"
	"strings"
)

// group names one group of renditions.
type group struct {
	kind MediaType
	id   string
}

func (m *Multivariant) check() error {
	if len(m.Variants) == 0 {
		return fmt.Errorf("there are no variants")
	}
	groups, err := m.checkMedia()
	if err != nil {
		return err
	}
	for i, v := range m.Variants {
		if err := v.check(groups); err != nil {
			return fmt.Errorf("variant %d: %w", i, err)
		}
	}
	for i, v := range m.IFrames {
		if err := v.check(); err != nil {
			return fmt.Errorf("i-frame variant %d: %w", i, err)
		}
	}
	return nil
}

// checkMedia checks each rendition by itself and within its group (RFC 8216
// 4.3.4.1.1), and returns the groups there are.
func (m *Multivariant) checkMedia() (map[group]bool, error) {
	groups := map[group]bool{}
	defaults := map[group]string{}
	names := map[group][]string{}
	for _, r := range m.Media {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("rendition %q: %w", r.Name, err)
		}
		g := group{r.Type, r.Group}
		if slices.Contains(names[g], r.Name) {
			return nil, fmt.Errorf("group %q has two renditions called %q", r.Group, r.Name)
		}
		if other, ok := defaults[g]; ok && r.Default {
			return nil, fmt.Errorf("group %q has two defaults, %q and %q", r.Group, other, r.Name)
		}
		if r.Default {
			defaults[g] = r.Name
		}
		names[g] = append(names[g], r.Name)
		groups[g] = true
	}
	return groups, nil
}

func (r Media) check() error {
	switch r.Type {
	case Audio:
		if r.Channels <= 0 {
			return fmt.Errorf("the number of channels is missing")
		}
		if r.Forced {
			return fmt.Errorf("only subtitles can be forced")
		}
	case Subtitles:
		if r.URI == "" {
			return fmt.Errorf("subtitles need a URI")
		}
		if r.Channels != 0 {
			return fmt.Errorf("subtitles have no channels")
		}
	default:
		return fmt.Errorf("unknown type %q", r.Type)
	}
	if r.Group == "" || r.Name == "" {
		return fmt.Errorf("the group or the name is missing")
	}
	for _, s := range append([]string{r.Group, r.Name}, r.Characteristics...) {
		if err := checkQuoted("attribute", s); err != nil {
			return err
		}
	}
	if r.URI != "" {
		if err := checkURI(r.URI); err != nil {
			return err
		}
	}
	return checkLanguage(r.Language)
}

func (v Variant) check(groups map[group]bool) error {
	if err := checkStream(v.URI, v.Bandwidth, v.AverageBandwidth, v.Codecs); err != nil {
		return err
	}
	if v.Picture != (Picture{}) {
		if err := v.Picture.check(); err != nil {
			return err
		}
		if !v.FrameRate.Valid() {
			return fmt.Errorf("the frame rate is missing")
		}
	}
	for _, g := range []group{{Audio, v.Audio}, {Subtitles, v.Subtitles}} {
		if g.id != "" && !groups[g] {
			return fmt.Errorf("%s group %q has no renditions", strings.ToLower(string(g.kind)), g.id)
		}
	}
	return nil
}

func (v IFrameVariant) check() error {
	if err := checkStream(v.URI, v.Bandwidth, v.AverageBandwidth, v.Codecs); err != nil {
		return err
	}
	return v.Picture.check()
}

func (p Picture) check() error {
	if p.Width <= 0 || p.Height <= 0 {
		return fmt.Errorf("resolution %dx%d is not positive", p.Width, p.Height)
	}
	if p.Range != SDR && p.Range != HLG && p.Range != PQ {
		return fmt.Errorf("unknown video range %q", p.Range)
	}
	return nil
}

func checkStream(uri string, bandwidth, average int64, codecs []string) error {
	if err := checkURI(uri); err != nil {
		return err
	}
	if bandwidth <= 0 {
		return fmt.Errorf("bandwidth %d is not positive", bandwidth)
	}
	if average < 0 || average > bandwidth {
		return fmt.Errorf("average bandwidth %d is not between 0 and the bandwidth %d", average, bandwidth)
	}
	if len(codecs) == 0 {
		return fmt.Errorf("the codecs are missing")
	}
	for _, c := range codecs {
		if c == "" || strings.ContainsAny(c, ", ") {
			return fmt.Errorf("codec %q is not one RFC 6381 name", c)
		}
		if err := checkQuoted("codec", c); err != nil {
			return err
		}
	}
	return nil
}
