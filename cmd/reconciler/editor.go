package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// openEditor has a person edit a file, with $EDITOR as a shell understands it. What
// the terminal sends meanwhile is the editor's.
func openEditor(editor, path string) error {
	if editor == "" {
		editor = "vi"
	}
	// Not signal.Ignore, which the editor would inherit.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(heard)
	process, err := os.StartProcess("/bin/sh", []string{"sh", "-c", editor + ` "$1"`, editor, path},
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("cannot open the editor %q: %w; EDITOR names another", editor, err)
	}
	state, err := process.Wait()
	if err != nil {
		return fmt.Errorf("cannot await the editor %q: %w", editor, err)
	}
	if !state.Success() {
		return fmt.Errorf("cannot edit: %q ended with %s; EDITOR names another editor", editor, state)
	}
	return nil
}
