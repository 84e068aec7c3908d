package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// welcome is what a person who starts with nothing is shown: a manifest to
// paste. It is empty when the directory has something in it, or cannot be read,
// which the log tells.
func welcome(dir string) string {
	entries, err := os.ReadDir(dir)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return ""
	}
	for _, e := range entries {
		if e.IsDir() || looksLikeManifest(e.Name()) {
			return ""
		}
	}
	state, mkdir := "This directory is empty", ""
	if missing {
		state, mkdir = "This directory does not exist yet", "mkdir -p "+quoted(dir)+"\n"
	}
	// The path has a line of its own: the text must fit on a terminal of 80 columns.
	return fmt.Sprintf(`
%s: %s
Paste this into another terminal to run a first service:

%scat > %s <<'EOF'
apiVersion: svc.d/v1
kind: Service
metadata:
  name: hello
spec:
  command: [/bin/sh, -c]
  args: ["while :; do date; sleep 5; done"]
EOF

`, state, dir, mkdir, quoted(filepath.Join(dir, "hello.yaml")))
}

// looksLikeManifest is by name only: this decides about a hint.
func looksLikeManifest(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json", ".ini":
		return !strings.HasPrefix(name, ".")
	default:
		return false
	}
}

// quoted is a word for a shell.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
