package fakecloud

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// answer carries out a call on a resource. The lock is held.
func (c *Cloud) answer(r *http.Request, parts []string, in Object) (int, Object) {
	collection, id, action := parts[0], "", ""
	if len(parts) > 1 {
		id = parts[1]
	}
	if len(parts) > 2 {
		action = parts[2]
	}
	switch {
	case collection == "session":
		return 200, Object{"tenant": Object{"id": "ten_00000000000000000000000001", "name": "main"}, "key": Object{"id": "key_1", "name": "admin"},
			"scopes": []string{"admin"}, "version": "v1.2.3", "secure": false}
	case collection == "usage":
		day := Object{"day": "2026-11-24", "minutes_encoded": 1.5, "bytes_served": 2000000, "cpu_seconds": 90, "bytes_stored": 3000000}
		return 200, Object{"from": or(r.FormValue("from"), "2026-11-01"), "to": or(r.FormValue("to"), "2026-11-24"), "days": []Object{day},
			"total": Object{"minutes_encoded": 1.5, "bytes_stored": 3000000, "bytes_served": 2000000, "cpu_seconds": 90, "uploads": 1}}
	case collection == "nodes" && id == "join_tokens":
		return 201, Object{"token": "lyj_test", "command": "liuyun serve --roles worker --join lyj_test", "expires_at": clock}
	case id == "" && r.Method == "GET":
		return c.page(r, collection, func(o Object) bool {
			return (r.FormValue("status") == "" || o["status"] == r.FormValue("status")) &&
				strings.Contains(fmt.Sprint(o["name"]), r.FormValue("q"))
		})
	case id == "" && r.Method == "POST":
		return c.create(collection, in)
	}
	o := c.find(collection, id)
	if collection == "sites" && id == "cloud" && action != "" {
		o = Object{"id": id}
	}
	if o == nil {
		return fail(404, "not_found", fmt.Sprintf("there is no %s in %s", id, collection))
	}
	if match := r.Header.Get("If-Match"); match != "" && match != fmt.Sprintf(`"%v"`, o["rev"]) {
		return fail(412, "conflict", "it was changed meanwhile; read it again")
	}
	switch {
	case collection == "sites" && action != "":
		return c.actOnSite(r, o, parts[2:], in)
	case action != "":
		return c.act(r, o, collection, parts[2:], in)
	}
	switch r.Method {
	case "PUT":
		return c.replaceSite(o, in)
	case "PATCH":
		for name, value := range in {
			o[name] = value
		}
		if revision, ok := o["rev"].(int); ok {
			o["rev"] = revision + 1
		}
	case "DELETE":
		c.remove(collection, id)
		delete(c.uploads, id)
		return 204, nil
	default:
		if collection == "assets" {
			c.work(o)
		}
	}
	return 200, without(o, "secret")
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// create makes a resource.
func (c *Cloud) create(collection string, in Object) (int, Object) {
	switch collection {
	case "assets":
		o := c.newAsset(fmt.Sprint(in["name"]))
		if in["url"] != nil {
			o["status"], o["phase"] = "queued", "import"
		}
		return 201, o
	case "keys":
		if scopes, ok := in["scopes"].([]any); !ok || len(scopes) == 0 {
			return fail(422, "invalid", "scopes must name at least one")
		}
		o := Object{"id": c.newID("key"), "name": in["name"], "prefix": "lyk_new0", "scopes": in["scopes"], "created_at": clock,
			"last_used_at": nil, "expires_at": in["expires_at"]}
		o["secret"] = "lyk_new0" + fmt.Sprint(o["id"])[20:]
		c.add(collection, o)
		return 201, o
	case "tenants":
		o := Object{"id": c.newID("ten"), "name": in["name"], "created_at": clock, "rev": 1}
		c.add(collection, o)
		return 201, o
	case "streams":
		id, policy := c.newID("str"), in["playback_policy"]
		if policy == nil {
			policy = "public"
		}
		o := Object{"id": id, "name": in["name"], "status": "idle", "stopped": false, "health": nil, "live_since": nil, "created_at": clock, "updated_at": clock, "rev": 1,
			"ladder":   in["ladder"],
			"playback": Object{"policy": policy, "hls": "/play/" + id + "/master.m3u8", "embed": "/embed/" + id, "expires": nil}}
		if source, ok := in["source"].(map[string]any); ok && len(source) > 0 {
			source["state"] = "connecting"
			o["source"] = source
		}
		c.add(collection, o)
		return 201, withKey(o, "lys_first")
	case "sites":
		return c.createSite(in)
	case "webhooks":
		events := in["events"]
		if events == nil {
			events = []string{}
		}
		o := Object{"id": c.newID("whk"), "url": in["url"], "events": events, "enabled": true, "created_at": clock, "rev": 1,
			"last_status": nil, "failing_since": nil, "secret": "whsec_c2VjcmV0"}
		c.add(collection, o)
		return 201, o
	}
	return fail(404, "not_found", "there is no such collection")
}

// withKey is a stream with the key that was just made.
func withKey(stream Object, key string) Object {
	o := without(stream, "")
	o["ingest"] = Object{"rtmp": Object{"url": "rtmp://127.0.0.1:1935/live", "key": key}}
	return o
}

func (c *Cloud) newAsset(name string) Object {
	o := Object{"id": c.newID("ast"), "name": name, "status": "created", "waiting_for": nil, "progress": 0.0, "phase": "upload", "error": nil,
		"duration": 0, "size": 0, "stored": 0, "tracks": []Object{}, "renditions": []Object{}, "subtitles": []Object{},
		"playback":   Object{"policy": "public", "hls": "", "dash": "", "mp4": []string{}, "embed": "", "expires": nil},
		"thumbnails": Object{"poster": "", "storyboard": ""}, "warnings": []Object{}, "options": Object{}, "spent": nil, "comparison": nil, "created_at": clock, "updated_at": clock,
		"ready_at": nil, "rev": 1}
	c.add("assets", o)
	c.tell("asset.created", o)
	return o
}

// work moves an asset one step on.
func (c *Cloud) work(o Object) {
	if made, _ := o["comparison"].(Object); made != nil {
		switch {
		case made["status"] == "queued":
			made["status"], made["progress"] = "running", 0.5
		case strings.Contains(fmt.Sprint(o["name"]), "odd"):
			made["status"], made["error"] = "failed", Object{"code": "invalid", "message": "the frames are not the same"}
		default:
			made["status"], made["progress"], made["report"], made["ended_at"] = "ready", 1.0, "/reports/token/"+fmt.Sprint(o["id"]), clock
			made["left_out"] = []Object{{"rendition": "hevc-360p", "message": "one is HDR and the other is not"}}
		}
	}
	switch o["status"] {
	case "queued":
		o["status"], o["phase"], o["progress"] = "processing", "encode", 0.5
		c.pass("asset.progress", Object{"id": o["id"], "status": "processing", "progress": 0.5, "phase": "encode"})
	case "processing":
		if strings.Contains(fmt.Sprint(o["name"]), "bad") {
			o["status"], o["error"] = "failed", Object{"code": "invalid", "message": "this is no video"}
			c.tell("asset.failed", o)
			return
		}
		play := "/play/" + fmt.Sprint(o["id"])
		o["status"], o["phase"], o["progress"], o["duration"], o["ready_at"] = "ready", "package", 1.0, 12.5, clock
		o["playback"] = Object{"policy": "public", "hls": play + "/master.m3u8", "dash": play + "/manifest.mpd", "mp4": []string{},
			"embed": "/embed/" + fmt.Sprint(o["id"]), "expires": nil}
		o["thumbnails"] = Object{"poster": play + "/poster.jpg", "storyboard": play + "/storyboard.vtt"}
		o["renditions"] = []Object{{"id": "h264-360p", "codec": "h264", "codecs": "avc1.64001e", "width": 640, "height": 360, "frame_rate": 25,
			"dynamic_range": "SDR", "bandwidth": 800000, "average_bandwidth": 500000, "size": 780000, "mp4": ""}}
		o["spent"] = Object{"cpu_seconds": 5, "cost": 0.0001, "energy_wh": 0.0027, "carbon_g": nil, "currency": "EUR",
			"per_minute": Object{"cpu_seconds": 24, "cost": 0.00048, "energy_wh": 0.013, "carbon_g": nil}}
		o["rev"] = o["rev"].(int) + 1
		c.tell("asset.ready", o)
	}
}

// act carries out what hangs below a resource.
func (c *Cloud) act(r *http.Request, o Object, collection string, rest []string, in Object) (int, Object) {
	switch collection + " " + r.Method + " " + rest[0] {
	case "assets POST retry":
		if o["status"] != "failed" {
			return fail(409, "conflict", "only a failed asset can be tried again")
		}
		o["status"], o["error"] = "queued", nil
		return 202, o
	case "assets POST playback":
		play := "/play/~token/" + fmt.Sprint(o["id"])
		return 200, Object{"hls": play + "/master.m3u8", "dash": play + "/manifest.mpd", "mp4": []string{}, "embed": "/embed/~token/" + fmt.Sprint(o["id"]),
			"poster": play + "/poster.jpg", "storyboard": play + "/storyboard.vtt", "expires": clock}
	case "assets GET encoding":
		return 200, Object{
			"shots":      []Object{{"start": 0, "end": 4.5}, {"start": 4.5, "end": 12.5}},
			"renditions": []Object{{"id": "h264-360p", "shot_bytes": []int{400_000, 900_000}}},
		}
	case "assets POST comparison":
		if o["status"] != "ready" {
			return fail(409, "conflict", "it can be compared when it is ready")
		}
		o["comparison"] = Object{"status": "queued", "progress": 0.0, "error": nil, "report": "", "expires": nil, "left_out": []Object{}, "created_at": clock, "ended_at": nil}
		return 202, o
	case "assets GET comparison":
		video := func(name string, bytes int) Object {
			return Object{"name": name, "codec": "H.264", "width": 640, "height": 360, "frame_rate": 25, "duration_s": 12.5, "bytes": bytes, "bit_rate": bytes * 8 * 2 / 25}
		}
		encode := video("h264-360p", 780_000)
		encode["scores"] = []Object{{"metric": "VMAF", "mean": 93.25, "p5": 88.5, "worst": 71.25, "worst_at_s": 4.52}, {"metric": "SSIM", "mean": 0.98765, "p5": 0.95, "worst": 0.9, "worst_at_s": 4.52}}
		encode["shots"] = []Object{{"bytes": 400_000, "score": 95.5}, {"bytes": 380_000}}
		return 200, Object{"reference": video(fmt.Sprint(o["name"]), 9_000_000), "every": 1, "encodes": []Object{encode}, "bd_rate": []Object{},
			"shots": []Object{{"start_s": 0, "end_s": 4.5}, {"start_s": 4.5, "end_s": 12.5}}}
	case "assets DELETE comparison":
		o["comparison"] = nil
		return 200, o
	case "assets PUT subtitles":
		text, _ := io.ReadAll(r.Body)
		if len(text) == 0 {
			return fail(400, "invalid", "the subtitles are empty")
		}
		o["subtitles"] = []Object{{"language": rest[1], "name": r.FormValue("name")}}
		return 202, o
	case "assets DELETE subtitles":
		o["subtitles"] = []Object{}
		return 202, o
	case "assets PUT source":
		bytes, _ := io.ReadAll(r.Body)
		c.uploads[fmt.Sprint(o["id"])] = &upload{size: int64(len(bytes)), bytes: bytes}
		o["status"], o["size"] = "queued", len(bytes)
		return 200, o
	case "streams POST keys":
		o["rev"] = o["rev"].(int) + 1
		return 200, withKey(o, "lys_second")
	case "streams POST playback":
		id := fmt.Sprint(o["id"])
		return 200, Object{"hls": "/play/~token/" + id + "/master.m3u8", "dash": "/play/~token/" + id + "/manifest.mpd", "embed": "/embed/~token/" + id, "expires": clock}
	case "streams POST start", "streams POST stop":
		o["stopped"] = rest[0] == "stop"
		if source, _ := o["source"].(map[string]any); source != nil {
			source["state"] = map[string]string{"start": "connecting", "stop": "stopped"}[rest[0]]
		}
		return 200, o
	case "streams POST clips":
		if in["last"] == nil {
			return fail(400, "invalid", "say either start or last: where the clip begins, or how many seconds it has")
		}
		return 202, Object{"asset": c.newID("ast"), "name": in["name"], "start": clock, "end": nil}
	case "streams GET statistics":
		way := func(bytes, viewers int) Object { return Object{"bytes_out": bytes, "viewers": viewers} }
		return 200, Object{"since": clock, "until": nil, "bytes_in": 1000, "bytes_out": 5000, "viewers": 2, "viewers_most": 3, "viewers_most_at": clock,
			"ways":   Object{"http": way(3000, 0), "webrtc": way(2000, 2), "rtmp": way(0, 0), "rtsp": way(0, 0), "srt": way(0, 0)},
			"series": []Object{{"at": clock, "viewers": 3, "bits_in": 800, "bits_out": 4000}}}
	case "streams POST captions":
		return 204, nil
	case "streams POST markers":
		return 201, Object{"id": "splice-1-1"}
	case "nodes POST drain", "nodes POST resume":
		o["state"] = map[string]string{"drain": "draining", "resume": "ready"}[rest[0]]
		return 202, o
	case "webhooks POST test":
		d := Object{"id": c.newID("dlv"), "webhook": o["id"], "event": Object{"id": c.newID("evt"), "type": "webhook.test", "time": clock,
			"tenant": "ten_00000000000000000000000001", "data": Object{}}, "state": "waiting", "attempts": 0, "status": nil, "response": "",
			"error": "", "next_at": clock, "created_at": clock, "delivered_at": nil}
		c.add("deliveries", d)
		return 202, d
	case "webhooks GET deliveries":
		return c.page(r, "deliveries", func(d Object) bool { return d["webhook"] == o["id"] })
	case "webhooks POST deliveries":
		if d := c.find("deliveries", rest[1]); d != nil {
			d["attempts"] = d["attempts"].(int) + 1
			return 202, d
		}
	}
	return fail(404, "not_found", "there is no such thing below it")
}
