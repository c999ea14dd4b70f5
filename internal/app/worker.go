package app

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/contract/worker"
	"liuyun/internal/control/gauge"
	"liuyun/internal/control/node"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/proc"
	"liuyun/internal/video/compare"
	"liuyun/internal/video/transcode"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/vod"
)

// importSlots is how many sources a node fetches at a time.
const importSlots = 4

// buildWorkerNode makes a node that only encodes, for a cloud that it joined.
func (n *serving) buildWorkerNode(ctx context.Context, who *self) error {
	b, err := bus.New(bus.Options{Name: who.id(), URLs: who.known().Bus, TLS: who.identity.ClientTLS(), Log: n.Log})
	if err != nil {
		return err
	}
	objects, err := n.openObjects(ctx, who)
	if err != nil {
		return err
	}
	n.add("bus", b.Run, b.Healthy)
	n.add("certificate", n.keepIdentity(who), nil)
	if err := n.addWork(ctx, who, b, objects, n.agent(who, b)); err != nil {
		return err
	}
	n.addReady(&Ready{Data: n.data.Path(), Node: who.id()})
	return nil
}

// addWork adds what takes jobs, where this node has that role, and the agent, which tells
// the control nodes how it is.
func (n *serving) addWork(ctx context.Context, who *self, b *bus.Bus, objects blob.Backend, agent *node.Agent) error {
	reserve := n.Config.Blob.Reserve(n.data.Path())
	if slices.Contains(n.Roles, RoleWorker) {
		tools, err := ffmpeg.Find(ctx, n.Config.FFmpeg)
		if err != nil {
			return err
		}
		hardware, encoders, err := n.hardware(ctx, tools)
		if err != nil {
			return err
		}
		g := gauge.New(gauge.Deps{Tools: tools, Class: tools.Class, Config: n.Config.Worker, File: n.data.Join(speedName), Hardware: encoders, Log: n.Log})
		worker, err := n.worker(who, b, objects, tools, hardware, reserve, g.Figures)
		if err != nil {
			return err
		}
		agent.Worker, agent.Class, agent.Tools, worker.Sound = worker, worker.Class, n.checkTools(tools), agent.Sound
		agent.Figures = g.Figures
		n.add("measurement", g.Run, nil)
		n.add("worker", func(ctx context.Context, ready func()) error {
			return worker.Run(ctx, ready)
		}, nil)
	}
	n.add("heartbeat", agent.Run, nil)
	return nil
}

// agent makes what tells the control nodes how this node is.
func (n *serving) agent(who *self, b *bus.Bus) *node.Agent {
	agent := &node.Agent{
		Line: b, Node: who.id(), Name: n.Name, Version: n.Version, Folder: n.data.Path(), Reserve: int64(n.Config.Blob.ReserveBytes), Log: n.Log,
	}
	if who.joined() {
		agent.Learn = func(reach node.Reach) {
			if err := who.learn(reach); err != nil {
				n.Log.Warn("where the control nodes are now was not kept", "cause", err)
			}
		}
	}
	return agent
}

// hardware tries the hardware encoders if this machine may use them, and returns tools
// that use them, or nil, and what was found out of each. A node without one that works
// does what it can without.
func (n *serving) hardware(ctx context.Context, tools *ffmpeg.Tools) (*ffmpeg.Tools, []worker.Encoder, error) {
	family := n.Config.Worker.Hardware
	if !ffmpeg.HardwareAsked(family) {
		return nil, nil, nil
	}
	on, tried, err := transcode.OnHardware(ctx, tools, family)
	if ctx.Err() != nil {
		return nil, nil, err
	}
	var used []string
	if err != nil {
		n.Log.Warn("assets that ask for hardware encoders are not made here", "worker.hardware", family, "cause", err)
	} else {
		for _, codec := range on.HardwareCodecs() {
			used = append(used, on.EncoderOf(codec))
		}
		n.Log.Info("hardware encoders are used for assets that ask for them", "encoders", used)
	}
	encoders := make([]worker.Encoder, len(tried))
	for i, e := range tried {
		encoders[i] = worker.Encoder{Name: e.Name, Works: e.Works, Why: e.Why, Used: slices.Contains(used, e.Name)}
	}
	return on, encoders, nil
}

// worker makes what takes jobs and does them. hardware may be nil.
func (n *serving) worker(who *self, b *bus.Bus, objects blob.Backend, tools, hardware *ffmpeg.Tools, reserve blob.Reserve, figures func() *worker.Figures) (*job.Worker, error) {
	tools = tools.Within(proc.ForChildren()) // encodes and comparisons together
	cache, err := blob.NewCache(objects, n.data.Join(scratchName, "cache"), int64(n.Config.Blob.CacheBytes), reserve)
	if err != nil {
		return nil, err
	}
	handlers := transcode.NewHandlers(transcode.Deps{
		Tools: tools, Hardware: hardware, Objects: objects, Files: cache, Scratch: n.data.Join(scratchName, "transcode"), Room: reserve.CheckRoom,
		VMAFModel: cmp.Or(n.Config.Quality.NEGModel, n.Config.Quality.Model), Bus: b, Figures: figures, Log: n.Log,
	})
	if err := handlers.Clean(); err != nil {
		return nil, err
	}
	comparer, err := n.comparer(objects, cache, tools, reserve)
	if err != nil {
		return nil, err
	}
	importer, err := vod.NewImporter(objects, n.Config.Import)
	if err != nil {
		return nil, err
	}
	kinds := handlers.Kinds()
	kinds[ingest.Import] = importer.Kind(importSlots)
	kinds[encode.Compare] = comparer.Kind()
	room := func() error { return reserve.CheckRoom(0) }
	var also []string
	if hardware != nil {
		also = []string{encode.HardwareClass, hardware.Class}
	}
	return &job.Worker{Bus: b, Node: who.id(), Class: tools.Class, Also: also, Kinds: kinds, Room: room, Grace: unitGrace, Log: n.Log}, nil
}

// comparer makes what compares assets with their sources. It measures on half of the
// cores: encodes go on beside it.
func (n *serving) comparer(objects blob.Store, files compare.Files, tools *ffmpeg.Tools, reserve blob.Reserve) (*compare.Handler, error) {
	looks, err := analyse.Looks()
	if err != nil {
		return nil, err
	}
	d := compare.Deps{
		Tools: tools, Objects: objects, Files: files, Scratch: n.data.Join(scratchName, "compare"), Room: reserve.CheckRoom,
		Looks: looks, Workers: max(1, runtime.GOMAXPROCS(0)/2), Program: "liuyun " + n.Version, Log: n.Log,
	}
	for _, m := range n.Config.Quality.Models() {
		d.Models = append(d.Models, m.Path)
	}
	h := compare.NewHandler(d)
	return h, h.Clean()
}

// checkTools returns what says why ffmpeg cannot do the work of a node that started
// with the given tools, or nil. Its first answer is about those: they were found a
// moment ago, and finding them again costs a third of a CPU second.
func (n *serving) checkTools(started *ffmpeg.Tools) func(context.Context) error {
	first := started
	return func(ctx context.Context) error {
		tools := first
		first = nil
		if tools == nil {
			var err error
			if tools, err = ffmpeg.Find(ctx, n.Config.FFmpeg); err != nil {
				return err
			}
		}
		if encoder := ffmpeg.EncoderFor("h264"); !tools.HasEncoder(encoder) {
			return fault.New(fault.Unavailable, "ffmpeg has no %s; install a full build", encoder)
		}
		if tools.Class != started.Class {
			return fault.New(fault.Unavailable, "ffmpeg is another one than when this node started, and may encode to other bytes; restart the node")
		}
		return nil
	}
}

// peers are the workers as placement compares them: by what a frame of the standard
// encode takes there.
func peers(workers []node.Worker) []job.Peer {
	known := func(v *float64) float64 {
		if v == nil {
			return -1
		}
		return *v
	}
	list := make([]job.Peer, len(workers))
	for i, w := range workers {
		frame := w.Figures.Frame()
		list[i] = job.Peer{Node: w.Node, Class: w.Class, Cost: known(frame.Cost), Carbon: known(frame.Carbon)}
	}
	return list
}
