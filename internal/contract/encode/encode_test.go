package encode

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/worker"
)

// Names in JSON are what other nodes and other versions know.
func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		value any
		want  string
	}{
		{DefaultOptions(), `{"codecs":["h264"],"ladder":"auto","preset":"medium","segment":"2..6s","loudness":"off","saliency":"off","mp4":false,"keep_original":false,"prefer":""}`},
		{
			Request{Asset: "a", Name: "n", Source: "s", Subtitles: []Subtitle{{"en", "English", "o"}}, Previous: "p/"},
			`{"asset":"a","name":"n","source":"s","options":{"codecs":null,"ladder":"","preset":"","segment":"","loudness":"","mp4":false,"keep_original":false,"prefer":""},` +
				`"subtitles":[{"language":"en","name":"English","object":"o"}],"previous":"p/"}`,
		},
		{
			UnitResult{Hash: "h", Frames: 1, CPUSeconds: 2, Reused: true, Retries: 3, Apart: true},
			`{"hash":"h","frames":1,"cpu_seconds":2,"reused":true,"retries":3,"apart":true}`,
		},
		{
			UnitResult{Hash: "h", CPUSeconds: 2, Spent: worker.Spent{CPU: 2, Cost: new(0.5)}},
			`{"hash":"h","frames":0,"cpu_seconds":2,"spent":{"cpu_seconds":2,"cost":0.5,"energy_wh":null,"carbon_g":null},"reused":false,"retries":0}`,
		},
		{Rendition{ID: "h264-720p", MP4: "m"}, `{"id":"h264-720p","codec":"","codecs":"","width":0,"height":0,"frame_rate":0,"dynamic_range":"","bandwidth":0,"average_bandwidth":0,"size":0,"mp4":"m"}`},
	}
	for _, test := range tests {
		got, err := json.Marshal(test.value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", test.value, diff)
		}
	}
	if got := UnitsPrefix("ast_1"); got != "units/ast_1/" {
		t.Errorf("got %s", got)
	}
}
