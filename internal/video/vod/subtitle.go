package vod

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"liuyun/internal/av/caption"
	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
)

const (
	largestSubtitle = 8 << 20 // bytes
	mostSubtitles   = 100     // languages of one asset
)

// addSubtitle gives a ready asset one language of subtitles, or other words in
// it. Its stream is put together anew; nothing is encoded, and who watches goes
// on watching.
func (s *Service) addSubtitle(ctx context.Context, tenant, id, tag, name string, text []byte) (*asset, error) {
	tag, err := languageTag(tag)
	if err != nil {
		return nil, err
	}
	if len(text) > largestSubtitle {
		return nil, fault.New(fault.Invalid, "the file has more than 8 MiB; that is no subtitle file")
	}
	if _, err := caption.Parse(text); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "these are no subtitles in SubRip (.srt) or WebVTT (.vtt): %v", err)
	}
	object := assetFolder(id) + "subtitles/" + s.ids.New("sub") + "/text"
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, tenant, id)
		if err != nil {
			return err
		}
		return mayChangeSubtitles(a)
	}); err != nil {
		return nil, err
	}
	if _, err := s.Blob.Put(ctx, object, bytes.NewReader(text)); err != nil {
		return nil, err
	}
	return s.change(ctx, tenant, id, event.AssetUpdated, func(tx *store.Tx, a *asset) error {
		if err := mayChangeSubtitles(a); err != nil {
			return err
		}
		a.dropSubtitle(tag)
		if len(a.Subtitles) >= mostSubtitles {
			return fault.New(fault.Limit, "an asset has at most %d languages of subtitles; delete one first", mostSubtitles)
		}
		a.Subtitles = append(a.Subtitles, subtitle{tag, name, object})
		return s.enqueue(tx, a)
	})
}

// removeSubtitle takes one added language away.
func (s *Service) removeSubtitle(ctx context.Context, tenant, id, tag string) (*asset, error) {
	tag, err := languageTag(tag)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, tenant, id, event.AssetUpdated, func(tx *store.Tx, a *asset) error {
		if err := mayChangeSubtitles(a); err != nil {
			return err
		}
		if !a.dropSubtitle(tag) {
			return fault.New(fault.NotFound, "no subtitles in %q were added to this asset", tag)
		}
		return s.enqueue(tx, a)
	})
}

func mayChangeSubtitles(a *asset) error {
	if a.Status != Ready {
		return fault.New(fault.Conflict, "the asset is %s; subtitles can be changed when it is ready", a.Status)
	}
	return a.noSource("subtitles can be added to what was uploaded")
}

// dropSubtitle takes a language out of the record; its file is garbage.
func (a *asset) dropSubtitle(tag string) bool {
	i := slices.IndexFunc(a.Subtitles, func(s subtitle) bool { return s.Language == tag })
	if i < 0 {
		return false
	}
	a.Garbage = append(a.Garbage, strings.TrimSuffix(a.Subtitles[i].Object, "text"))
	a.Subtitles = slices.Delete(a.Subtitles, i, i+1)
	return true
}

func languageTag(text string) (string, error) {
	tag, err := language.Parse(text)
	if err != nil {
		return "", fault.New(fault.Invalid, "%q is no language; write a tag such as en, de or zh-Hans (RFC 5646)", text)
	}
	return tag.String(), nil
}
