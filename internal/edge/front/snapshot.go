package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"liuyun/internal/base/file"
	"liuyun/internal/contract/edge"
)

const (
	snapshotName = "known.sealed"
	// snapshotEvery is how soon after another the state is written down.
	snapshotEvery = time.Second
	// resealEvery is how soon it is sealed anew: the key may be another.
	resealEvery = time.Hour
	// mostSnapshot bounds what is read.
	mostSnapshot = 1 << 30
)

// snapshot is a State on the disk.
type snapshot struct {
	Node     string      `json:"node"`
	Revision int64       `json:"revision"`
	Sites    []edge.Site `json:"sites"`
	Nodes    []edge.Node `json:"nodes"`
	Secrets  [][]byte    `json:"secrets"`
}

// loadSnapshot returns what a former run knew, or nil.
func (f *Front) loadSnapshot() *State {
	s, err := readSnapshot(filepath.Join(f.deps.Folder, snapshotName), f.deps.Node, f.deps.Seal)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		f.deps.Log.Warn("what this edge knew is not believed; it waits for a control node", "error", err)
		return nil
	}
	return s
}

func readSnapshot(path, node string, seal sealer) (*State, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sealed, err := io.ReadAll(io.LimitReader(file, mostSnapshot+1))
	if err != nil {
		return nil, err
	}
	if len(sealed) > mostSnapshot {
		return nil, fmt.Errorf("%s is too large", path)
	}
	data, err := seal.Open(sealed)
	if err != nil {
		return nil, err
	}
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	if s.Node != node {
		return nil, fmt.Errorf("it is of the node %s", s.Node)
	}
	return (&State{}).with(&edge.Delta{Revision: s.Revision, Sites: s.Sites, Nodes: s.Nodes, Secrets: s.Secrets})
}

// keepSnapshot writes the state down when it has changed, and a last time at the end.
func (f *Front) keepSnapshot(ctx context.Context) {
	reseal := time.NewTicker(resealEvery)
	defer reseal.Stop()
	failing := false
	for pause(ctx, snapshotEvery) {
		select {
		case <-ctx.Done():
			continue
		case <-reseal.C:
		case <-f.changed:
		}
		err := f.writeSnapshot()
		if err != nil {
			nudge(f.changed)
			if !failing {
				f.deps.Log.Error("what this edge knows cannot be written down; it is tried again", "error", err)
			}
		}
		failing = err != nil
	}
	select {
	case <-f.changed:
		if err := f.writeSnapshot(); err != nil {
			f.deps.Log.Error("what this edge knows is not written down", "error", err)
		}
	default:
	}
}

func (f *Front) writeSnapshot() error {
	now := f.State()
	if now.Revision == 0 {
		return nil
	}
	s := snapshot{Node: f.deps.Node, Revision: now.Revision, Secrets: now.Secrets}
	for _, id := range slices.Sorted(maps.Keys(now.Sites)) {
		s.Sites = append(s.Sites, *now.Sites[id])
	}
	for _, id := range slices.Sorted(maps.Keys(now.Nodes)) {
		s.Nodes = append(s.Nodes, *now.Nodes[id])
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return file.WriteWhole(filepath.Join(f.deps.Folder, snapshotName), f.deps.Seal.Seal(data), 0o600)
}
