package reconciler_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// FuzzLoop reads its input as the choices of a storm: which things happen to a
// small simulated world, and when. Every promise of the simulation must hold.
func FuzzLoop(f *testing.F) {
	f.Add(uint64(1), []byte("abcdefgh"))
	f.Add(uint64(7), []byte{1, 200, 3, 255, 5, 90, 7, 60, 17, 33})
	f.Fuzz(func(t *testing.T, seed uint64, choices []byte) {
		if len(choices) > 64 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			w := newStorm(seed, 5, genuine)
			defer func() {
				w.close()
				synctest.Wait()
				for _, v := range w.violations {
					t.Error(v)
				}
			}()
			for _, name := range w.names {
				w.declareOne(name)
			}
			for n, choice := range choices {
				// The low bits say how long nothing happens, up to 35 minutes.
				time.Sleep(time.Duration(choice%16) * time.Duration(choice%16) * time.Duration(choice%11) * time.Second)
				w.rng = dice(seed, n, choice/16)
				w.step()
				w.audit()
			}
			w.shutDown()
		})
	})
}
