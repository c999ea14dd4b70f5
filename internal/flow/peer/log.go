package peer

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// quietLog has pion log what it finds wrong as details: it is about what one client
// sends, and nothing that an operator could see to.
type quietLog struct{ log *slog.Logger }

// NewLogger makes the logger of a part of pion.
func (q quietLog) NewLogger(scope string) logging.LeveledLogger {
	return scopedLog{q.log.With("pion", scope)}
}

type scopedLog struct{ log *slog.Logger }

func (scopedLog) Trace(string)          {}
func (scopedLog) Tracef(string, ...any) {}
func (scopedLog) Debug(string)          {}
func (scopedLog) Debugf(string, ...any) {}
func (scopedLog) Info(string)           {}
func (scopedLog) Infof(string, ...any)  {}

func (l scopedLog) Warn(text string)                  { l.log.Debug(text) }
func (l scopedLog) Warnf(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l scopedLog) Error(text string)                 { l.log.Debug(text) }
func (l scopedLog) Errorf(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }
