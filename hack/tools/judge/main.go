// Command judge reads the log of a replica as programs do that are not ours, for
// tests that find out whether these miss or double anything:
//
//	judge kubelet FOLDER/0.log TO      what kubectl logs -f runs in kubelet
//	judge collector FOLDER/0.log TO    the OpenTelemetry collector's file input and container parser
//
// The texts go to TO/stdout and TO/stderr. It says "ready" when it reads, and
// ends when its standard input is closed and it has read everything.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// output is where the texts go, by stream.
type output map[string]*bufio.Writer

// reader reads the log until the context ends, and then what is left.
type reader func(ctx context.Context, log string, to output, ready func()) error

func main() {
	readers := map[string]reader{"kubelet": kubelet, "collector": collector}
	if len(os.Args) != 4 || readers[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: judge kubelet|collector FOLDER/0.log TO")
		os.Exit(2)
	}
	if err := run(readers[os.Args[1]], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(read reader, log, folder string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	to := output{}
	for _, name := range []string{"stdout", "stderr"} {
		file, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		defer file.Close()
		to[name] = bufio.NewWriterSize(file, 1<<20)
	}
	err := read(ctx, log, to, func() { fmt.Println("ready") })
	return errors.Join(err, to["stdout"].Flush(), to["stderr"].Flush())
}
