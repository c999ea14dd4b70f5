package live

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ladder"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/proc"
)

// kitchen runs the children that make renditions of streams. ffmpeg is looked for when
// the first of them is needed, and again while it is not found.
type kitchen struct {
	find func(context.Context) (*ffmpeg.Tools, error)

	mu    sync.Mutex
	tools *ffmpeg.Tools
}

// childMemory bounds a child: 4K with four renditions needs less than a third of it.
const childMemory = 4 << 30

// childNice has the server itself come first where the machine is busy.
const childNice = 5

// RunLive runs a child, see [ladder.Maker].
func (k *kitchen) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	tools, err := k.open(ctx)
	if err != nil {
		return ffmpeg.Usage{}, err
	}
	l.Limits, l.Nice = proc.Limits{Memory: childMemory}, childNice
	if l.Steering != nil && !k.steers(ctx, tools) {
		l.Steering = nil
		for i := range l.Pictures {
			l.Pictures[i].Offsets = nil
		}
	}
	return tools.RunLive(ctx, l, feed)
}

// steers reports whether quantisers of children can be moved. Where that cannot be found
// out they are left alone.
func (k *kitchen) steers(ctx context.Context, tools *ffmpeg.Tools) bool {
	follows, err := tools.Steers(ctx)
	return err == nil && follows
}

func (k *kitchen) open(ctx context.Context) (*ffmpeg.Tools, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tools == nil {
		tools, err := k.find(ctx)
		if err != nil {
			return nil, err
		}
		k.tools = tools
	}
	return k.tools, nil
}

// renditions is what is made of a session's stream, beside passing it on.
type renditions struct {
	session *session
	kitchen ladder.Maker
	ladder  *ladder.Ladder
	work    sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context // of the session, once it runs
	over    bool            // nothing is begun any more
	names   []string        // of the ladder
	running bool            // the ladder is
	aac     bool            // AAC is made of Opus
	changed int             // how often the encoder has changed what it sends
	instead string          // why renditions replace the source; "" while they do not
	opus    *ladder.Sound   // nil while nobody asks for it
	users   int             // of opus
	unused  int             // counts when opus lost its last user
	stop    context.CancelFunc
}

// ownKeys is how far apart key frames are where those of the source are of no use.
const ownKeys = 2 * time.Second

func newRenditions(l *session, k ladder.Maker, names []string, adapt string) *renditions {
	r := &renditions{session: l, kitchen: k, names: names}
	r.ladder = ladder.New(ladder.Options{
		Source: l.source, Maker: k, Hold: l.wait(holdShare), Log: l.log, Made: r.made, Planned: r.planned,
		Break: l.group.Break, Breaks: l.group.Breaks,
		Adapt: ladder.Adaption{Rungs: adapt == adaptRungs || adapt == adaptAll, Bits: adapt == adaptAll},
	})
	return r
}

// run makes what is asked for until the session's stream ends.
func (r *renditions) run(ctx context.Context) {
	r.mu.Lock()
	r.ctx = ctx
	r.start()
	r.mu.Unlock()
	r.work.Go(r.begin)
	<-ctx.Done()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.work.Wait()
}

// begin looks at what comes first, so that AAC has its beginning too: [renditions.look]
// sees Opus when it has gone on for a while.
func (r *renditions) begin() {
	tracks, err := r.session.source.Tracks(r.ctx)
	if err != nil || !slices.ContainsFunc(tracks, func(t hub.Track) bool { return t.Codec == hub.Opus }) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wantAAC()
}

// set changes the ladder.
func (r *renditions) set(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(r.names, names) {
		return
	}
	r.names = names
	r.start()
}

// laddered reports whether renditions are asked for.
func (r *renditions) laddered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.names) > 0
}

// start has the ladder make what is asked for. Streams without one cost nothing.
func (r *renditions) start() {
	if r.ctx == nil || r.over || len(r.names) == 0 && !r.running {
		return
	}
	plan := ladder.Plan{Names: r.names}
	if r.instead != "" && len(r.names) > 0 {
		plan.Whole, plan.Every = true, ownKeys
	}
	r.ladder.Set(plan)
	if !r.running {
		r.running = true
		r.work.Go(func() { r.ladder.Run(r.ctx) })
	}
}

// planned tells viewers which renditions there will be.
func (r *renditions) planned(rungs []rate.Rung, pace timebase.Rational) {
	var plan window.Plan
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range rungs {
		level, _ := h264.Level(g.Width, g.Height, pace.Float(), g.Cap)
		plan.Rungs = append(plan.Rungs, window.Rung{
			Name: g.Name, Width: g.Width, Height: g.Height, Rate: pace, Bitrate: g.Cap + g.Cap/10, Codec: "avc1.6400" + levelCode(level),
		})
	}
	if r.instead != "" && len(rungs) > 0 {
		plan.WithoutSource, plan.Every = true, ownKeys
	}
	r.session.group.Plan(plan)
}

// levelCode is a level such as "3.1" in hexadecimal.
func levelCode(level string) string {
	major, minor, _ := strings.Cut(level, ".")
	var a, b int
	_, _ = fmt.Sscan(major, &a) // of our own table
	_, _ = fmt.Sscan(minor, &b)
	return fmt.Sprintf("%02x", 10*a+b)
}

// made has the window cut a rung that begins to be made.
func (r *renditions) made(g ingest.Rung) {
	reader := g.Stream.ReadAll()
	r.work.Go(func() { r.cut(g.Name, reader) })
}

func (r *renditions) cut(name string, reader *hub.Reader) {
	r.mu.Lock()
	ctx := r.ctx
	r.mu.Unlock()
	if err := r.session.group.RunRung(ctx, name, reader.Every(r.session.wait(cutShare))); err != nil && ctx.Err() == nil {
		r.session.log.Error("a rendition of the stream was not cut", "rendition", name, "cause", err)
	}
}

// look looks at how the stream goes, once a second, with the session's mutex held: whether it can be passed on as it
// is. It adds to h what viewers get besides.
func (r *renditions) look(h *StreamHealth) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.Rungs = []StreamRung{}
	if r.ctx == nil || r.over {
		return
	}
	if h.AudioCodec == string(hub.Opus) {
		r.wantAAC()
	}
	if !r.running {
		return
	}
	r.repair(h.Problems)
	made := r.ladder.Health()
	h.RungsLag, h.RungsLost, h.RungsUnseen = rounded(made.Lag.Seconds()), made.Lost, made.Unseen
	var shed []string
	for _, s := range made.Rungs {
		h.Rungs = append(h.Rungs, StreamRung{s.Name, string(s.State), s.Width, s.Height, s.Bitrate, s.Spent, rounded(s.QP), s.Offset, string(s.Why)})
		if s.State == ladder.Shed {
			shed = append(shed, s.Name)
		}
	}
	add := func(code, message string) {
		h.Problems = append(h.Problems, StreamProblem{Code: code, Message: message})
	}
	if len(shed) > 0 {
		add("rungs_shed", fmt.Sprintf("this machine cannot keep up, so that %s is not made for now: take renditions out of the ladder, or give it more processors", strings.Join(shed, ", ")))
	}
	if made.Says != "" {
		add("rungs_failed", made.Says)
	}
	if r.instead != "" && len(r.names) > 0 {
		add("transcoded", "viewers get renditions instead of what the encoder sends, because "+r.instead)
	}
}

// repair replaces the source where it cannot be passed on. That stays so for as long as
// the session lasts: players would see each change.
func (r *renditions) repair(problems []StreamProblem) {
	if r.instead != "" || len(r.names) == 0 {
		return
	}
	for _, p := range problems {
		switch p.Code {
		case "key_frames", "open_gops":
			r.instead = p.Message
		case "format_changes":
			if r.changed++; r.changed >= 2 {
				r.instead = p.Message
			}
		}
	}
	if r.instead != "" {
		r.session.channel.Endless = true // the first key frame is enough to decode all
		r.session.log.Warn("the stream is not passed on but made anew", "cause", r.instead)
		r.start()
	}
}

// wantAAC has AAC made of sound in Opus, which not all players know, once.
func (r *renditions) wantAAC() {
	if r.aac || r.over {
		return
	}
	r.aac = true
	sound := ladder.NewSound(ladder.Sound{Source: r.session.source.ReadAll(), From: hub.Opus, Codec: hub.AAC, Maker: r.kitchen, Log: r.session.log})
	reader := sound.Stream().ReadAll()
	r.work.Go(func() { sound.Run(r.ctx) })
	r.work.Go(func() { r.cut("aac", reader) })
}

// linger is how long Opus is made after the last who asked for it has gone.
const linger = 30 * time.Second

// sound returns the sound as Opus, see [ingest.Program].
func (r *renditions) sound(ctx context.Context) (*hub.Stream, func(), error) {
	tracks, err := r.session.source.Tracks(ctx)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "nothing is on air; come back when the stream has begun")
	}
	has := func(match func(hub.Codec) bool) bool {
		return slices.ContainsFunc(tracks, func(t hub.Track) bool { return match(t.Codec) })
	}
	if has(func(c hub.Codec) bool { return c == hub.Opus }) {
		return r.session.source, func() {}, nil
	}
	if !has(func(c hub.Codec) bool { return !c.Video() }) {
		return nil, nil, fault.New(fault.NotFound, "this stream has no sound")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || r.over {
		return nil, nil, fault.New(fault.Unavailable, "nothing is on air; come back when the stream has begun")
	}
	if r.opus == nil {
		running, stop := context.WithCancel(r.ctx)
		sound := ladder.NewSound(ladder.Sound{Source: r.session.source.Read(), Codec: hub.Opus, Maker: r.kitchen, Log: r.session.log})
		r.opus, r.stop = sound, stop
		r.work.Go(func() { sound.Run(running) })
	}
	r.users++
	return r.opus.Stream(), sync.OnceFunc(r.leave), nil
}

// leave is the end of one who asked for Opus.
func (r *renditions) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	r.unused++
	turn := r.unused
	time.AfterFunc(linger, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.users == 0 && r.unused == turn && r.opus != nil {
			r.stop()
			r.opus = nil
		}
	})
}

// ladderOf is the ladder of a stream as it is kept, and back.
func ladderOf(kept string) []string {
	return strings.FieldsFunc(kept, func(c rune) bool { return c == ',' })
}

// checkLadder says what is wrong with the names of a ladder.
func checkLadder(names []string) error {
	if err := rate.CheckLive(names); err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	return nil
}

// wantLadder has a stream that is on air here make what its record says.
func (s *Service) wantLadder(r *stream) {
	l := s.current(r.ID)
	if l != nil {
		l.renditions.set(r.Ladder)
	}
}
