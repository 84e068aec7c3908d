package test

import (
	"fmt"
	"time"
)

// patience is how long the tests wait for anything. It decides nothing but how
// long a failure takes.
const patience = 30 * time.Second

// await looks again and again until the world is as it should be. Look returns
// nil when it is, and otherwise says what it saw.
func await(look func() error) error {
	pause := 2 * time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		err := look()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain: %w", patience, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// pace spaces what a test does to the world, where how fast it comes is the
// point. Nothing that is judged depends on it.
func pace(between time.Duration) { time.Sleep(between) }
