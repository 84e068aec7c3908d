package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap/zapcore"

	"svc.d/reconciler"
)

// consoleCore writes one line a change for people: the time, the message, then
// key=value, and at last what is a sentence. zap's own console encoder writes the keys as JSON.
type consoleCore struct {
	zapcore.LevelEnabler
	out    zapcore.WriteSyncer
	prefix []zapcore.Field
}

func (c *consoleCore) With(fields []zapcore.Field) zapcore.Core {
	clone := *c
	clone.prefix = append(clone.prefix[:len(clone.prefix):len(clone.prefix)], fields...)
	return &clone
}

func (c *consoleCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *consoleCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	var line strings.Builder
	line.WriteString(e.Time.Format("15:04:05.000 "))
	if e.Level >= zapcore.WarnLevel {
		line.WriteString("ERROR ")
	}
	fmt.Fprintf(&line, "%-16s", e.Message)
	all := append(c.prefix[:len(c.prefix):len(c.prefix)], fields...)
	replica := slices.ContainsFunc(all, func(f zapcore.Field) bool { return f.Key == "replica" })
	var sentences []string
	for _, f := range all {
		switch {
		case slices.Contains(prose, f.Key):
			sentences = appendSentence(sentences, f)
		case f.Key == "service" && replica: // its name says it
		default:
			writeField(&line, f)
		}
	}
	text := strings.TrimRight(line.String(), " ")
	if len(sentences) > 0 {
		text += ": " + strings.Join(sentences, "; ")
	}
	_, err := c.out.Write([]byte(text + "\n"))
	return err
}

func (c *consoleCore) Sync() error { return c.out.Sync() }

// prose are the keys whose values are sentences: they stand at the end, as they are.
var prose = []string{"problem", "meanwhile", "message", "error"}

// appendSentence appends the value of a key. What a terminal would obey is quoted.
func appendSentence(sentences []string, f zapcore.Field) []string {
	enc := zapcore.NewMapObjectEncoder()
	f.AddTo(enc)
	text := ""
	if value, ok := enc.Fields[f.Key]; ok {
		text = plainValue(value)
	}
	switch {
	case text == "":
		return sentences
	case strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		text = strconv.Quote(text)
	}
	return append(sentences, text)
}

// writeField shows one key. What is empty, or the number of no process, says
// nothing and is left out.
func writeField(line *strings.Builder, f zapcore.Field) {
	enc := zapcore.NewMapObjectEncoder()
	f.AddTo(enc)
	for key, value := range enc.Fields {
		text := shownValue(value)
		if text == "" || key == "pid" && text == "0" {
			continue
		}
		line.WriteString(" " + key + "=" + text)
	}
}

// shownValue is one word.
func shownValue(value any) string {
	text := plainValue(value)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f }) {
		return strconv.Quote(text)
	}
	return text
}

func plainValue(value any) string {
	var text string
	switch v := value.(type) {
	case time.Duration:
		text = v.Round(time.Millisecond).String()
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = fmt.Sprint(item)
		}
		text = strings.Join(parts, ",")
	case []reconciler.Process:
		for _, p := range v {
			text = strings.TrimPrefix(fmt.Sprintf("%s,%s(%d)", text, p.Name, p.Pid), ",")
		}
	default:
		text = fmt.Sprint(v)
	}
	return text
}
