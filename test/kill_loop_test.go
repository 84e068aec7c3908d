package test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestADaemonThatIsKilledAgainAndAgainDoublesNothingAndLosesNothing kills it at
// random moments while a hundred services run, crash, and are edited.
func TestADaemonThatIsKilledAgainAndAgainDoublesNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	atOnce(t, tortured("kills", built.checked, func(w *torture) { w.killLoop(seed, rounds(100)) }))
}

// The services of the loop: steady ones, ones that crash, ones that are edited,
// with children, and with an exec stage.
const loopSteady, loopCrashing, loopEdited, loopKids, loopMasked = 50, 15, 20, 10, 5

func (w *torture) killLoop(seed uint64, kills int) {
	random, others := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	for n := range loopSteady {
		w.declares(fmt.Sprintf("steady%d", n), 1, nil)
	}
	for n := range loopCrashing {
		w.declares(fmt.Sprintf("crashing%d", n), 1, nil, "-exit", "3", "-after", fmt.Sprintf("%dms", 20+30*n))
	}
	for n := range loopKids {
		w.declares(fmt.Sprintf("kids%d", n), 1, nil, "-children", "1", "-label", "kids")
	}
	for n := range loopMasked {
		w.declares(fmt.Sprintf("masked%d", n), 1, []string{`securityContext: {umask: "0077"}`})
	}
	versions := map[int]int{}
	edit := func(n int) {
		versions[n]++
		w.declares(fmt.Sprintf("edited%d", n), 1, []string{"terminationGracePeriodSeconds: 2"}, "-label", fmt.Sprintf("v%d", versions[n]))
	}
	for n := range loopEdited {
		edit(n)
	}
	w.start()
	all := map[string]int{}
	steady := []string{}
	for name, n := range map[string]int{"steady": loopSteady, "kids": loopKids, "masked": loopMasked, "edited": loopEdited} {
		for i := range n {
			all[fmt.Sprintf("%s%d-0", name, i)] = 0
			if name == "steady" || name == "masked" {
				steady = append(steady, fmt.Sprintf("%s%d-0", name, i))
			}
		}
	}
	for n := range loopCrashing {
		all[fmt.Sprintf("crashing%d-0", n)] = -1
	}
	first := w.settles(all)
	w.written(same(first, steady...), false)
	var busy sync.WaitGroup
	for range kills {
		// What the world does to the services meanwhile, also while no daemon is
		// there.
		busy.Wait()
		busy.Go(func() {
			for range 3 {
				edit(others.IntN(loopEdited))
				victim := fmt.Sprintf("kids%d-0", others.IntN(loopKids))
				if living, err := w.living(); err == nil && len(living[victim]) > 0 {
					_ = syscall.Kill(living[victim][0], syscall.SIGKILL)
				}
				pace(20 * time.Millisecond)
			}
		})
		pace(time.Duration(random.IntN(300)) * time.Millisecond)
		w.kill9()
		w.start()
	}
	busy.Wait()
	w.settles(joined(all, same(first, steady...)))
	for n := range loopEdited {
		name, label := fmt.Sprintf("edited%d-0", n), fmt.Sprintf("label=v%d", versions[n])
		if err := await(func() error {
			pid := w.pids()[name]
			if len(w.recorded("start "+name+" pid="+strconv.Itoa(pid)+" "+label+"\n")) != 1 {
				return fmt.Errorf("%s does not run as %s", name, label)
			}
			return nil
		}); err != nil {
			w.t.Error(err)
		}
	}
	if err := await(func() error { return w.children(loopKids) }); err != nil {
		w.t.Error(err)
	}
	for _, name := range steady {
		if n := len(w.recorded("start " + name + " ")); n != 1 {
			w.t.Errorf("%s was started %d times", name, n)
		}
	}
	w.t.Logf("%d kills, %d starts, %d of them of services that crash", kills, len(w.recorded("start ")), len(w.recorded("start crashing")))
}
