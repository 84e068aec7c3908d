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

	// turn is held by the one worker that waits for work.
	turn sync.Mutex

	mu      sync.Mutex
	running int // all, those that hang included
	slow    int
	idle    chan struct{} // closed when the last one that moves has ended
	closing bool
	// lines are the works that wait for a work of the same replica: those of
	// one replica are done in order. A replica that is worked for has an entry.
	lines map[reconciler.ReplicaID][]reconciler.Work
}

func startWorkers(h *Host, n int) *workers {
	w := &workers{host: h, want: n, idle: make(chan struct{}), lines: map[reconciler.ReplicaID][]reconciler.Work{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		w.running++
		go func() {
			h.spawners.begin()
			w.run()
		}()
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
		work, first, open := w.receive()
		if !open || first && !w.doLine(work) {
			return
		}
	}
}

// receive receives a work, when none is received before it by another worker: two
// of one replica would change their order. first is false when the work waits for
// another one of its replica, which somebody is at. open is false at the end.
func (w *workers) receive() (work reconciler.Work, first, open bool) {
	w.turn.Lock()
	defer w.turn.Unlock()
	select {
	case work = <-w.host.work:
	case <-w.host.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.leave()
		return work, false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	line, busy := w.lines[work.Replica]
	if busy {
		w.lines[work.Replica] = append(line, work)
	} else {
		w.lines[work.Replica] = nil
	}
	return work, !busy, true
}

// doLine does the work, and what comes for the same replica meanwhile. It says
// whether the worker is still wanted.
func (w *workers) doLine(work reconciler.Work) bool {
	id := work.Replica
	surplus := false
	for {
		surplus = w.do(work) || surplus
		w.mu.Lock()
		line := w.lines[id]
		if len(line) == 0 {
			delete(w.lines, id)
			break
		}
		work, w.lines[id] = line[0], line[1:]
		w.mu.Unlock()
	}
	defer w.mu.Unlock()
	if surplus {
		w.leave()
	}
	return !surplus
}

// do does the work and says whether a spare has taken the worker's place.
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
	return surplus
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
