package world

import (
	"os"
	"path/filepath"
	"strings"
)

// Holding lists the processes whose standard output or error is at the path or
// below it, whatever they call themselves.
func Holding(path string) ([]Process, error) {
	var found []Process
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, process := range entries {
		for _, stream := range []string{"1", "2"} {
			target, err := os.Readlink(process + "/fd/" + stream)
			if err == nil && (target == path || strings.HasPrefix(target, path+"/")) {
				found = append(found, describe(process))
				break
			}
		}
	}
	return found, nil
}
