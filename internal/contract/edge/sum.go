package edge

import (
	"hash/fnv"
	"strconv"
)

// Mark is what a site or a node adds to [Delta.Sum], which is the sum of all marks and
// wraps around: 64-bit FNV-1a of the id, a space and the revision.
func Mark(id string, revision int64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendInt(append([]byte(id), ' '), revision, 10)) // it does not fail
	return h.Sum64()
}
