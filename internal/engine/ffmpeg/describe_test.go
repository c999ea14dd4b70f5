package ffmpeg

import "testing"

func TestDeepFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]bool{
		"yuv420p": false, "yuvj422p": false, "nv12": false, "nv16": false, "gray": false, "rgb24": false, "pal8": false, "": false, "yuv410p": false,
		"yuv420p10le": true, "yuv422p10be": true, "yuv444p12le": true, "p010le": true, "gbrp16le": true, "rgb48le": true, "gray10le": true, "gbrpf32le": true,
	} {
		if got := isDeep(format); got != want {
			t.Errorf("%q: got %v, want %v", format, got, want)
		}
	}
}
