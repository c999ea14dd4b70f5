package window

import (
	"os"
	"path/filepath"
	"time"
)

// Close writes what is not on the disk yet. Then the window can be opened again, by
// another New, and this one must not be used any more. It waits for a Run that has not
// returned. Where the disk takes not all, it says why, and the window goes on: it would
// be shorter when it is opened again.
func (g *Group) Close() error {
	g.running.Lock()
	defer g.running.Unlock()
	g.work()
	for _, t := range g.unsaved() {
		if err := g.saveLate(t.r, t.save); err != nil {
			g.report(err)
			return err
		}
	}
	if g.Health().Disk != nil { // a line may be missing
		err := g.rewrite(true)
		g.report(err)
		if err != nil {
			return err
		}
	}
	g.files.close()
	return nil
}

// unsaved are the segments that the disk was too slow or too full for.
func (g *Group) unsaved() (all []task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.renditions {
		for _, s := range r.segments {
			if !s.saved {
				all = append(all, task{r: r, save: s})
			}
		}
	}
	return all
}

// saveLate saves such a segment. Nobody else writes meanwhile.
func (g *Group) saveLate(r *rendition, s *segment) error {
	g.mu.Lock()
	if u := g.files.open[r.name]; u == nil || u.name != r.file(s.number) {
		s.written, s.filled = 0, 0 // what was written of it went when the next one began
	}
	r.waiting++
	g.mu.Unlock()
	return g.save(r, s)
}

// Newest is when a segment came last to the window that lies in a folder, whether it
// is open or not; where none has come, when the folder was made.
func Newest(folder string) (time.Time, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return time.Time{}, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return time.Time{}, err
	}
	newest := time.Time{}
	for _, entry := range entries {
		if !entry.IsDir() { // the journal, which is written anew when a window is opened
			continue
		}
		rendition, err := os.Stat(filepath.Join(folder, entry.Name()))
		if err != nil {
			return time.Time{}, err
		}
		if at := rendition.ModTime(); at.After(newest) { // when a file got its name there
			newest = at
		}
	}
	if newest.IsZero() {
		return info.ModTime(), nil
	}
	return newest, nil
}
