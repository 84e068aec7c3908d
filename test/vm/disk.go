package vm

import (
	"fmt"
	"os/exec"
)

// MakeDisk makes an empty ext4 file system of so many megabytes in a new file.
func MakeDisk(file string, megabytes int) error {
	output, err := exec.Command("mke2fs", "-q", "-t", "ext4", file, fmt.Sprintf("%dM", megabytes)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make a disk: %w: %s", err, output)
	}
	return nil
}
