package window

import "liuyun/internal/flow/hub"

// follow cuts the other tracks as far as the lead has come.
func (c *cutter) follow() error {
	if !c.begun {
		return nil
	}
	for _, t := range c.tracks[1:] {
		if err := c.advance(t); err != nil {
			return err
		}
	}
	c.forget()
	return nil
}

// advance writes the units of t before which no further boundary can come to lie.
func (c *cutter) advance(t *track) error {
	known := c.inTicksOf(t, c.tracks[0].cursor) - t.frame/2
	for len(t.queue) > 0 && t.queue[0].DTS <= known {
		if ok, err := c.place(t, t.queue[0].DTS); err != nil {
			return err
		} else if !ok {
			t.take()
			continue
		}
		if len(t.queue) < 2 || t.queue[1].DTS > known {
			return nil
		}
		if err := c.one(t, t.queue[1].DTS); err != nil {
			return err
		}
	}
	return nil
}

// turn ends the segment of a track that follows, and begins the one of b.
func (c *cutter) turn(t *track, b *boundary) error {
	return t.turn(b, t.cursor, int64(b.wall+duration(t.cursor, t.clock)))
}

// place makes ready for a unit at that time, and reports whether it has a place.
func (c *cutter) place(t *track, at int64) (bool, error) {
	first := c.bounds[0]
	earliest := c.inTicksOf(t, first.at)
	if t.placed {
		earliest = t.cursor
	}
	if at < earliest-t.frame/2 {
		c.g.count(func(h *Health) { h.Dropped++ })
		return false, nil
	}
	if t.open {
		return true, nil
	}
	late := c.bound(first.number+1) != nil && at >= c.inTicksOf(t, c.bounds[1].at)
	if !t.placed {
		t.cursor, t.placed = at, true
		if late {
			t.cursor = earliest
		}
	}
	if err := c.turn(t, &first); err != nil {
		return false, err
	}
	if late {
		return true, c.gap(t, at)
	}
	return true, nil
}

// one writes the oldest unit of t, which lasts until the next one.
func (c *cutter) one(t *track, next int64) error {
	lasts := next - t.cursor
	if lasts > 3*t.frame {
		t.add(&t.queue[0], t.frame)
		t.take()
		return c.gap(t, next)
	}
	t.add(&t.queue[0], lasts)
	if lasts > 0 {
		t.frame = lasts
	}
	t.take()
	if b := c.bound(t.number + 1); b != nil && t.cursor >= c.inTicksOf(t, b.at)-t.frame/2 {
		return c.turn(t, b)
	}
	return t.endPart()
}

// take drops the oldest unit.
func (t *track) take() {
	copy(t.queue, t.queue[1:])
	t.queue[len(t.queue)-1] = hub.Unit{}
	t.queue = t.queue[:len(t.queue)-1]
}

// gap says that nothing is there until then, over as many segments as that takes.
func (c *cutter) gap(t *track, until int64) error {
	for t.cursor < until {
		end, b := until, c.bound(t.number+1)
		if b != nil {
			end = min(end, max(c.inTicksOf(t, b.at), t.cursor))
		}
		if err := t.gapParts(end); err != nil {
			return err
		}
		if b == nil || t.cursor < c.inTicksOf(t, b.at) {
			break
		}
		if err := c.turn(t, b); err != nil {
			return err
		}
	}
	return nil
}

// gapParts fills the open segment up to end with parts that are not there.
func (t *track) gapParts(end int64) error {
	if t.cursor >= end {
		return nil
	}
	p, buffer, err := t.flush()
	if err != nil {
		return err
	}
	if p != nil {
		t.g.publish(t.r, p, buffer, false, nil)
	}
	for t.cursor < end {
		from := t.cursor
		t.cursor = min(end, from+t.limit)
		t.part = t.cursor
		t.g.publish(t.r, &part{duration: t.since(t.cursor) - t.since(from), gap: true}, nil, false, nil)
	}
	return nil
}

// hurry closes segments of tracks from which nothing has come since the lead began
// the segment after the next one.
func (c *cutter) hurry(number int64) error {
	for _, t := range c.tracks[1:] {
		if err := c.catchUp(t, number-1); err != nil {
			return err
		}
	}
	return nil
}

// catchUp brings t into the segment before that number, or further.
func (c *cutter) catchUp(t *track, number int64) error {
	if len(c.bounds) == 0 || c.bounds[0].number >= number {
		return nil
	}
	if !t.open {
		b := c.bounds[0]
		if !t.placed {
			t.cursor, t.placed = c.inTicksOf(t, b.at), true
		}
		if err := c.turn(t, &b); err != nil {
			return err
		}
	}
	for t.number < number-1 {
		b := c.bound(t.number + 1)
		if b == nil {
			return nil
		}
		if err := c.pass(t, *b); err != nil {
			return err
		}
	}
	return nil
}

// pass ends the open segment of t where b begins: with the units that are there, and
// a gap.
func (c *cutter) pass(t *track, b boundary) error {
	at := c.inTicksOf(t, b.at)
	for t.number < b.number && len(t.queue) > 0 && t.queue[0].DTS < at-t.frame/2 {
		if t.queue[0].DTS < t.cursor-t.frame/2 {
			t.take()
			c.g.count(func(h *Health) { h.Dropped++ })
			continue
		}
		next := t.queue[0].DTS + t.frame
		if len(t.queue) > 1 {
			next = t.queue[1].DTS
		}
		if err := c.one(t, next); err != nil {
			return err
		}
	}
	if t.number >= b.number {
		return nil
	}
	if err := c.gap(t, at); err != nil {
		return err
	}
	if t.number >= b.number {
		return nil
	}
	return c.turn(t, &b)
}

// drain writes what is left in the queue of t at the end, as far as the lead came.
func (c *cutter) drain(t *track) error {
	end := c.inTicksOf(t, c.tracks[0].cursor) + t.frame/2
	for len(t.queue) > 0 {
		at := t.queue[0].DTS
		ok := at <= end
		if ok {
			var err error
			if ok, err = c.place(t, at); err != nil {
				return err
			}
		}
		if !ok {
			t.take()
			continue
		}
		next := at + t.frame
		if len(t.queue) > 1 && t.queue[1].DTS <= end {
			next = t.queue[1].DTS
		}
		if err := c.one(t, next); err != nil {
			return err
		}
	}
	return nil
}

// bound returns where the segment of that number begins, or nil if that is not known.
func (c *cutter) bound(number int64) *boundary {
	if len(c.bounds) == 0 {
		return nil
	}
	i := number - c.bounds[0].number
	if i < 0 || i >= int64(len(c.bounds)) {
		return nil
	}
	return &c.bounds[i]
}

// forget drops boundaries that every track has passed.
func (c *cutter) forget() {
	for len(c.bounds) > 1 {
		for _, t := range c.tracks[1:] {
			if !t.open || t.number < c.bounds[1].number {
				return
			}
		}
		c.bounds = append(c.bounds[:0], c.bounds[1:]...)
	}
}
