package report

import "html/template"

// phrase is what is read in each language.
type phrase struct{ en, zh string }

// words are all that the page says by itself.
var words = map[string]phrase{
	"comparison":    {"Comparison of encodes", "编码对比"},
	"reference":     {"Reference", "参考"},
	"summary":       {"At a glance", "总览"},
	"encode":        {"Encode", "编码"},
	"bitrate":       {"Bit rate", "码率"},
	"size":          {"Size", "大小"},
	"worstFrame":    {"Worst frame", "最差帧"},
	"summaryNote":   {"Mean over the compared frames, with the 5th percentile below: one frame in twenty looks worse than that. The best of a column is bold.", "各帧平均值，下方为第 5 百分位，即每二十帧中有一帧比它更差。每列最优值加粗。"},
	"everyFrame":    {"every frame compared", "逐帧对比"},
	"everyOne":      {"one frame in", "每"},
	"everyOneAfter": {"compared", "帧对比一帧"},
	"shots":         {"shots", "个镜头"},
	"oneShot":       {"shot", "个镜头"},
	"shot":          {"shot", "镜头"},
	"overBits":      {"Quality over bits", "质量与码率"},
	"overBitsNote":  {"The dot is the mean, the foot of its stem the 5th percentile. Up and to the left is better.", "圆点为平均值，竖线下端为第 5 百分位。越靠左上越好。"},
	"savings":       {"Bits for the same quality", "同等质量所需码率"},
	"savingsNote":   {"BD-rate: the mean difference in bits over the range of quality that both curves have.", "BD-rate：两条曲线共有质量区间内码率的平均差异。"},
	"against":       {"against", "相对"},
	"fewer":         {"fewer bits", "更省码率"},
	"more":          {"more bits", "更费码率"},
	"overTime":      {"Quality over time", "质量与时间"},
	"overTimeNote":  {"The line is the mean, its shade reaches down to the worst frame. Thin verticals are cuts; numbered dots are the frames shown below.", "曲线为平均值，阴影向下延伸至最差帧。竖线为镜头切换，带编号的圆点对应下方画面。"},
	"spent":         {"What each shot was given", "各镜头分配的码率"},
	"spentNote":     {"A bar is a shot: as wide as it is long, as high as its bit rate, so that its area is the bits that it took. The dotted line is the mean of the encode.", "每个条形为一个镜头：宽度为时长，高度为码率，面积即所用比特。虚线为整体平均码率。"},
	"worst":         {"Worst frames", "最差画面"},
	"worstNote":     {"Drag the line, or focus it and use the arrow keys, Home and End.", "拖动分界线，或选中后使用方向键、Home 与 End。"},
	"worstOf":       {"worst of", "最差画面，编码："},
	"left":          {"Left", "左侧"},
	"right":         {"Right", "右侧"},
	"divider":       {"Divider between the left and the right picture", "左右画面分界线"},
	"saliency":      {"Where people look", "视觉关注区域"},
	"cost":          {"What it costs", "成本"},
	"perHour":       {"An hour of video", "每小时视频"},
	"delivered":     {"1,000 viewers for an hour", "一千名观众观看一小时"},
	"relative":      {"Of the reference", "相对参考"},
	"madeBy":        {"Made by", "生成工具"},
}

// say is a word in both languages, of which the page shows one.
func say(key string) template.HTML { return both("span", key) }

// saySVG is say within a drawing.
func saySVG(key string) template.HTML { return both("tspan", key) }

// both has only fixed text in it: a key that is not in words is a defect that the
// tests find, and shows as itself.
func both(element, key string) template.HTML {
	p, known := words[key]
	if !known {
		p = phrase{"?" + key, "?" + key}
	}
	esc := template.HTMLEscapeString
	return template.HTML(`<` + element + ` class="en" lang="en">` + esc(p.en) + `</` + element + `>` +
		`<` + element + ` class="zh" lang="zh-Hans">` + esc(p.zh) + `</` + element + `>`)
}
