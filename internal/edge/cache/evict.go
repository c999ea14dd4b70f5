package cache

import (
	"container/list"
	"hash/maphash"
	"strconv"
	"sync"
)

// evictor chooses what leaves when there is no room: S3-FIFO (Yang et al., FIFO queues
// are all you need for cache eviction, SOSP 2023). New objects go through a small queue
// of a tenth of the room; those that were asked for again meanwhile go on to the main
// one, the others leave, and come straight to the main one if they are asked for again
// soon. A hit takes no lock and moves nothing. What leaves memory is cold on the disk, in
// queues of the same two kinds, and makes room there when its turn comes, as files do.
//
// Each owner stands in queues of its own besides. While some have more than their share,
// they make the room, each by what would leave first of its own: see debtor.
type evictor struct {
	limit int64
	share int64 // that an owner may take of it while others want it
	seed  maphash.Seed
	// cold are objects that share the room; forget is told of those that leave. Both are
	// nil where there are none.
	cold   *cold
	forget func(id uint64)

	mu         sync.Mutex
	clock      uint64 // counts what has come into a queue
	all        holding
	owners     map[owner]*holding // nobody has none
	over       list.List          // of *holding: those that may have more than their share
	ghosts     map[uint64]*list.Element
	ghostOrder list.List // of uint64
}

// holding is what there is of everybody, or of one owner.
type holding struct {
	owner       owner
	used        int64
	smallUsed   int64
	small, main list.List     // of *object, the oldest in front
	suspect     *list.Element // in over; nil: it is not there
}

// queue is one of the two of a holding.
func (h *holding) queue(main bool) *list.List {
	if main {
		return &h.main
	}
	return &h.small
}

const (
	smallShare = 10   // of the limit, the small queue has a tenth
	mostHits   = 3    // that are counted
	perObject  = 1024 // bytes that an object takes beside its body, about
)

// newEvictor returns an evictor of so many bytes, of which an owner has a share, in
// percent.
func newEvictor(limit int64, share int) *evictor {
	return &evictor{
		limit: limit, share: limit / 100 * int64(share), seed: maphash.MakeSeed(),
		all: holding{owner: everybody}, owners: make(map[owner]*holding), ghosts: make(map[uint64]*list.Element),
	}
}

// seat is where an object stands in an evictor, which guards it.
type seat struct {
	in     *evictor
	at     *list.Element // in a queue of all; nil where it is in none
	own    *list.Element // in the same one of its owner; nil where that is nobody
	since  uint64        // when it came into that, by the evictor's clock
	main   bool          // the queue that it is in, or was in last, is the main one
	weight int64
}

// add takes an object in, and returns those that have to leave for it.
func (e *evictor) add(o *object, size int64) (leave []*object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.seat = seat{in: e, weight: size}
	hash := e.hash(o)
	main := false
	if ghost, ok := e.ghosts[hash]; ok {
		e.ghostOrder.Remove(ghost)
		delete(e.ghosts, hash)
		main = true
	}
	leave = e.makeRoom(o.owner, o.seat.weight)
	e.push(o, main)
	e.watch(o.owner)
	return leave
}

// makeRoom returns the objects that have to leave so that there is room for so many
// bytes more of an owner.
func (e *evictor) makeRoom(of owner, bytes int64) (leave []*object) {
	for {
		from := &e.all
		switch {
		case e.cold != nil && e.cold.many():
		case e.taken(everybody)+bytes > e.limit:
			from = e.debtor(of, bytes)
		default:
			return leave
		}
		if id, ok := e.coldest(from); ok {
			e.forget(id)
			continue
		}
		if from.small.Len()+from.main.Len() == 0 {
			return leave
		}
		if out := e.choose(from); out != nil {
			leave = append(leave, out)
		}
	}
}

// debtor is whose objects leave next for so many bytes more of an owner: the owner's, if
// it would have more than its share, else those of the others that have, by turns. While
// nobody has, everybody's do.
func (e *evictor) debtor(of owner, bytes int64) *holding {
	if of != nobody {
		if taken := e.taken(of); taken > 0 && taken+bytes > e.share {
			return e.held(of)
		}
	}
	for e.over.Len() > 0 {
		first := e.over.Front()
		h := first.Value.(*holding)
		if e.taken(h.owner) > e.share {
			e.over.MoveToBack(first)
			return h
		}
		e.over.Remove(first)
		h.suspect = nil
	}
	return &e.all
}

// held is what there is of an owner.
func (e *evictor) held(of owner) *holding {
	h := e.owners[of]
	if h == nil {
		h = &holding{owner: of}
		e.owners[of] = h
	}
	return h
}

// watch notes that an owner may have more than its share, after it has got something.
func (e *evictor) watch(of owner) {
	if of == nobody || e.taken(of) <= e.share {
		return
	}
	if h := e.held(of); h.suspect == nil {
		h.suspect = e.over.PushBack(h)
	}
}

// watchAll does it for all owners of cold objects.
func (e *evictor) watchAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[owner]int64)
	e.cold.loadOf(all)
	for of := range all {
		e.watch(of)
	}
}

// coldest takes the next to leave out where that is a cold object: of the two queues
// whose turn it is, one of cold and one of other objects, the one has it that came first.
func (e *evictor) coldest(of *holding) (id uint64, ok bool) {
	if e.cold == nil {
		return 0, false
	}
	mine, cold := &of.main, &e.cold.again
	if e.smallTurn(of) {
		mine, cold = &of.small, &e.cold.once
	}
	since, ok := cold.since(of.owner)
	if ok && (mine.Len() == 0 || since < mine.Front().Value.(*object).seat.since) {
		return cold.oldest(of.owner)
	}
	if of != &e.all || !e.cold.many() {
		return 0, false
	}
	if id, ok = e.cold.once.oldest(everybody); !ok {
		id, ok = e.cold.again.oldest(everybody)
	}
	return id, ok
}

// smallTurn reports whether what leaves of a holding is of the small queues. They have a
// tenth of the room, or of what there is of an owner.
func (e *evictor) smallTurn(of *holding) bool {
	small, main := of.smallUsed, of.used-of.smallUsed
	if e.cold != nil {
		_, once := e.cold.once.load(of.owner)
		_, again := e.cold.again.load(of.owner)
		small, main = small+once, main+again
	}
	room := e.limit
	if of != &e.all {
		room = small + main
	}
	return small > room/smallShare || main == 0
}

// taken is how much of the room an owner has.
func (e *evictor) taken(of owner) (bytes int64) {
	h := &e.all
	if of != everybody {
		h = e.owners[of]
	}
	if h != nil {
		bytes = h.used
	}
	if e.cold != nil {
		_, cold := e.cold.load(of)
		bytes += cold
	}
	return bytes
}

// chill takes in an object that has left another evictor and is on the disk alone from
// now on.
func (e *evictor) chill(o *object) (leave []*object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	leave = e.makeRoom(o.owner, o.seat.weight)
	queue := &e.cold.once
	if o.seat.main {
		queue = &e.cold.again
	}
	e.clock++
	queue.add(coldObject{id: o.id, hash: keyHash(o.key), weight: o.seat.weight, since: e.clock, owner: o.owner})
	e.watch(o.owner)
	return leave
}

// remove takes an object out that leaves for another reason.
func (e *evictor) remove(o *object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.seat.at != nil {
		e.pull(o)
	}
}

func (e *evictor) push(o *object, main bool) {
	e.clock++
	o.seat.since, o.seat.main = e.clock, main
	o.seat.at = e.all.queue(main).PushBack(o)
	if o.owner != nobody {
		o.seat.own = e.held(o.owner).queue(main).PushBack(o)
	}
	e.count(o, o.seat.weight)
}

func (e *evictor) pull(o *object) {
	e.count(o, -o.seat.weight)
	e.all.queue(o.seat.main).Remove(o.seat.at)
	if o.seat.own != nil {
		e.owners[o.owner].queue(o.seat.main).Remove(o.seat.own)
	}
	o.seat.at, o.seat.own = nil, nil
}

// count adds to what there is of everybody and of an object's owner.
func (e *evictor) count(o *object, bytes int64) {
	for _, h := range [...]*holding{&e.all, e.owners[o.owner]} {
		if h == nil {
			continue
		}
		if h.used += bytes; !o.seat.main {
			h.smallUsed += bytes
		}
	}
}

// choose looks at the oldest object of a queue, and returns it if it has to leave.
func (e *evictor) choose(of *holding) *object {
	main := (!e.smallTurn(of) || of.small.Len() == 0) && of.main.Len() > 0
	o := of.queue(main).Front().Value.(*object)
	hits := o.hits.Load()
	e.pull(o)
	switch {
	case !main && hits > 1:
		o.hits.Store(0)
		e.push(o, true)
		return nil
	case main && hits > 0:
		o.hits.Add(-1)
		e.push(o, true)
		return nil
	case !main:
		e.remember(o)
	}
	return o
}

// remember keeps the name of an object that left early, of as many as there are
// objects in the main queue.
func (e *evictor) remember(o *object) {
	hash := e.hash(o)
	if _, ok := e.ghosts[hash]; !ok {
		e.ghosts[hash] = e.ghostOrder.PushBack(hash)
	}
	for e.ghostOrder.Len() > max(64, e.all.main.Len()) {
		oldest := e.ghostOrder.Front()
		delete(e.ghosts, e.ghostOrder.Remove(oldest).(uint64))
	}
}

// hash is what an object is remembered by.
func (e *evictor) hash(o *object) uint64 {
	return maphash.String(e.seed, o.key+"\x00"+o.variant+"\x00"+strconv.FormatInt(o.slice, 10))
}

// hit counts that an object was asked for.
func (o *object) hit() {
	if n := o.hits.Load(); n < mostHits {
		o.hits.CompareAndSwap(n, n+1)
	}
}

// load is how much an evictor holds, the cold objects among it.
func (e *evictor) load() (objects int, bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cold != nil {
		objects, _ = e.cold.load(everybody)
	}
	return objects + e.all.small.Len() + e.all.main.Len(), e.taken(everybody)
}

// loadOf adds to what owners have.
func (e *evictor) loadOf(to map[owner]int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for of, h := range e.owners {
		to[of] += h.used
	}
	if e.cold != nil {
		e.cold.loadOf(to)
	}
}
