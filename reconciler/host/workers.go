package host

import (
	"sync"
	"time"

	"svc.d/reconciler"
)

const (
	// slowAfter is when a request no longer counts as work but as a hang: far
	// longer than a start takes on a loaded machine.
	slowAfter = time.Second
	// maxSpares bounds the threads that may hang in dead file systems.
	maxSpares = 64
)

// workers receive work. A worker that hangs in a system call (envFrom on a dead
// file server, say) must not hold up the other replicas: after slowAfter a spare
// takes its place, and whoever is too many ends when its request is answered.
// So Workers of them are free or busy with something that moves, as long as no
// more than maxSpares hang.
type workers struct {
	host *Host
	want int

	mu      sync.Mutex
	running int // all, those that hang included
	slow    int
	idle    chan struct{} // closed when the last one that moves has ended
	closing bool
}

func startWorkers(h *Host, n int) *workers {
	w := &workers{host: h, want: n, idle: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		w.spawn()
	}
	return w
}

// spawn adds a worker. The caller holds mu.
func (w *workers) spawn() {
	w.running++
	go w.run()
}

func (w *workers) run() {
	for {
		select {
		case work := <-w.host.work:
			if !w.do(work) {
				return
			}
		case <-w.host.done:
			w.mu.Lock()
			w.leave()
			w.mu.Unlock()
			return
		}
	}
}

// do does the work and says whether the worker is still wanted.
func (w *workers) do(work reconciler.Work) bool {
	var finished, hung bool // guarded by mu
	timer := time.AfterFunc(slowAfter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if finished {
			return
		}
		hung = true
		w.slow++
		w.checkIdle()
		if !w.closing && w.running-w.want < maxSpares {
			w.spawn()
		}
	})
	answer := w.host.do(work)
	surplus := false
	if !timer.Stop() {
		w.mu.Lock()
		finished = true
		if hung {
			w.slow--
			surplus = w.running-w.slow > w.want
		}
		w.mu.Unlock()
	}
	if answer.event.Kind != 0 {
		w.host.send(answer.event)
	}
	if answer.then != nil {
		answer.then()
	}
	if !surplus {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave()
	return false
}

// leave counts a worker out. The caller holds mu.
func (w *workers) leave() {
	w.running--
	w.checkIdle()
}

// checkIdle tells wait when only those that hang are left. The caller holds mu.
func (w *workers) checkIdle() {
	if w.closing && w.running == w.slow {
		select {
		case <-w.idle:
		default:
			close(w.idle)
		}
	}
}

// wait waits for the workers that do not hang. Host.done is closed.
func (w *workers) wait() {
	w.mu.Lock()
	w.closing = true
	w.checkIdle()
	w.mu.Unlock()
	<-w.idle
}
