package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// Picture and sound coincide from the first flash to the last.
func TestFlashAndBeepInFFmpeg(t *testing.T) {
	t.Parallel()
	for _, name := range filmNames() {
		if !strings.HasPrefix(name, "sync-") && name != outOfSync {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := encode(t, name)
			address := p.serve(t)
			for _, manifest := range []string{"master.m3u8", "manifest.mpd"} {
				flashes := flashes(pictures(t, address+manifest, "0:v:0"))
				beeps := heard(t, address+manifest, "0:a:0").onsets()
				if err := inSync(name, flashes, beeps, p.seconds()); err != nil {
					t.Errorf("%s: %v", manifest, err)
				}
			}
		})
	}
}

// flashes are the seconds at which a dark picture is followed by a bright one.
func flashes(all []picture) (seconds []float64) {
	bright := false
	for _, picture := range all {
		if picture.luma > 128 && !bright {
			seconds = append(seconds, picture.at.Float())
		}
		bright = picture.luma > 128
	}
	return seconds
}

// apart is how far picture and sound may be from each other, in seconds.
const apart = 0.020

// inSync says what is wrong with a film that flashes and beeps.
func inSync(film string, flashes, beeps []float64, seconds float64) error {
	if film != outOfSync {
		return coincide(flashes, beeps, seconds)
	}
	if coincide(flashes, beeps, seconds) == nil {
		return fmt.Errorf("sound that is late by %g s passes for in time", offBy)
	}
	early := make([]float64, len(beeps))
	for i := range beeps {
		early[i] = beeps[i] - offBy
	}
	return coincide(flashes, early, seconds)
}

// coincide says what is wrong unless each flash has its beep, and there are some
// at the beginning and the end.
func coincide(flashes, beeps []float64, seconds float64) error {
	if len(flashes) < 4 || flashes[0] > 1.2 || flashes[len(flashes)-1] < seconds-1.2 {
		return fmt.Errorf("flashes at %.3f in %.3f s", flashes, seconds)
	}
	if len(beeps) != len(flashes) {
		return fmt.Errorf("flashes at %.3f, beeps at %.3f", flashes, beeps)
	}
	for i := range flashes {
		if off := beeps[i] - flashes[i]; math.Abs(off) > apart {
			return fmt.Errorf("the beep of %.3f s is %.1f ms late", flashes[i], off*1000)
		}
	}
	return nil
}
