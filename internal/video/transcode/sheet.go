package transcode

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
)

// sheetQuality is the sheets' JPEG quality. It changes bytes: see resultVersion.
const sheetQuality = 80

// sheetMaker lays tiles out on the storyboard's sheets.
type sheetMaker struct {
	folder   string
	board    *storyboard
	spec     *ffmpeg.Tiles
	timeBase timebase.Rational

	sheet  *image.YCbCr // the one being filled; nil before the first
	next   int          // the first cell that is not filled yet, over all sheets
	tile   []byte       // the last one
	slot   int64        // of the last one
	sheets int          // written
}

func newSheetMaker(folder string, board *storyboard, spec *ffmpeg.Tiles, timeBase timebase.Rational) *sheetMaker {
	return &sheetMaker{folder: folder, board: board, spec: spec, timeBase: timeBase, slot: math.MinInt64}
}

// add lays out the tiles of a stretch that are of pictures before end.
func (m *sheetMaker) add(p *stretch, end int64) error {
	times, err := readNumbers[int64](filepath.Join(p.folder, timesName))
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(p.folder, tilesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // decoding ended before the first
	}
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReader(file)
	before := int64(math.MinInt64)
	for _, pts := range times {
		slot := m.spec.Slot(pts, m.timeBase)
		if slot <= before || slot >= m.spec.Most {
			continue // no tile was made of it
		}
		before = slot
		tile := make([]byte, m.spec.Bytes())
		if _, err := io.ReadFull(in, tile); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // decoding was cut short
		} else if err != nil {
			return err
		}
		if pts >= end || slot <= m.slot {
			continue
		}
		if err := m.fill(slot); err != nil {
			return err
		}
		m.slot, m.tile = slot, tile
	}
	return nil
}

// fill draws the last tile into all cells before slot.
func (m *sheetMaker) fill(slot int64) error {
	for m.tile != nil && int64(m.next) < slot {
		if err := m.draw(); err != nil {
			return err
		}
	}
	return nil
}

// draw puts the last tile into the next cell.
func (m *sheetMaker) draw() error {
	b := m.board
	cells := b.Columns * b.Rows
	cell := m.next % cells
	if cell == 0 {
		if err := m.write(); err != nil {
			return err
		}
		m.sheet = blackSheet(b.Columns*b.Width, b.Rows*b.Height)
	}
	x, y := cell%b.Columns*b.Width, cell/b.Columns*b.Height
	tile := m.tile
	plane := func(to []byte, stride, x, y, width, height int) {
		for row := range height {
			tile = tile[copy(to[(y+row)*stride+x:][:width], tile):]
		}
	}
	plane(m.sheet.Y, m.sheet.YStride, x, y, b.Width, b.Height)
	plane(m.sheet.Cb, m.sheet.CStride, x/2, y/2, b.Width/2, b.Height/2)
	plane(m.sheet.Cr, m.sheet.CStride, x/2, y/2, b.Width/2, b.Height/2)
	m.next++
	return nil
}

func blackSheet(width, height int) *image.YCbCr {
	sheet := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range sheet.Cb {
		sheet.Cb[i], sheet.Cr[i] = 128, 128
	}
	return sheet
}

// write ends the running sheet.
func (m *sheetMaker) write() error {
	if m.sheet == nil {
		return nil
	}
	m.sheets++
	file, err := os.Create(filepath.Join(m.folder, fmt.Sprintf(sheetPattern, m.sheets)))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := jpeg.Encode(file, m.sheet, &jpeg.Options{Quality: sheetQuality}); err != nil {
		return err
	}
	m.sheet = nil
	return file.Close()
}

// finish writes the last sheet and returns how many there are.
func (m *sheetMaker) finish() (int, error) {
	if err := m.fill(max(0, m.slot) + 1); err != nil {
		return 0, err
	}
	err := m.write()
	return m.sheets, err
}
