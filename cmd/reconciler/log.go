package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// daemonLog is the daemon's own log.
type daemonLog struct {
	logr.Logger
	queue *logQueue
	// forPeople says that a person reads it as it comes.
	forPeople bool
	// terminal shows the lines of services between our own; nil when no person
	// is there to see them.
	terminal *terminal
}

// Close writes what is still waiting.
func (l *daemonLog) Close() error { return l.queue.Close() }

// openLog makes the log of the flags --log-format and --log-level.
func openLog(out io.Writer, format, level string) (*daemonLog, error) {
	levels := map[string]zapcore.Level{"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}
	enabled, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("cannot log at level %q: it must be debug, info or error", level)
	}
	f, isFile := out.(*os.File)
	watched := isFile && term.IsTerminal(int(f.Fd()))
	if format == "" {
		format = "json"
		if watched {
			format = "console"
		}
	}
	l := &daemonLog{forPeople: format == "console"}
	var core zapcore.Core
	switch format {
	case "console":
		l.queue = newLogQueue(out, func(n int) []byte {
			return fmt.Appendf(nil, "... %d lines of the log were dropped: it was not read fast enough\n", n)
		})
		core = &consoleCore{LevelEnabler: enabled, out: l.queue}
		if watched {
			l.terminal = newTerminal(share{l.queue, quietQueueBytes}, share{l.queue, floodQueueBytes}, os.Getenv("NO_COLOR") == "" && obeys(os.Getenv))
		}
	case "json":
		l.queue = newLogQueue(out, func(n int) []byte {
			return fmt.Appendf(nil, `{"level":"info","ts":%q,"msg":"Dropped lines of the log","lines":%d}`+"\n",
				time.Now().Format(time.RFC3339Nano), n)
		})
		core = zapcore.NewCore(zapcore.NewJSONEncoder(jsonKeys()), l.queue, enabled)
	default:
		return nil, fmt.Errorf("cannot log in format %q: it must be console or json", format)
	}
	l.Logger = zapr.NewLogger(zap.New(core))
	return l, nil
}

func jsonKeys() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", MessageKey: "msg",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	}
}
