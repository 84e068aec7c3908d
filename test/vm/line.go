package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// line talks with the guest's program (test/vm/guest).
type line struct {
	file      *os.File
	greetings chan string

	mu      sync.Mutex
	last    int64
	waiting map[int64]chan answer
}

// answer is what the guest's program says.
type answer struct {
	ID     int64
	Boot   string
	Code   int
	Output string
}

func newLine(file *os.File) *line {
	return &line{file: file, greetings: make(chan string, 16), waiting: map[int64]chan answer{}}
}

// read runs until the line is closed. What is no answer is the firmware's.
func (l *line) read() {
	lines := bufio.NewReader(l.file)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(text, &a) != nil {
			continue
		}
		if a.Boot != "" {
			l.greetings <- a.Boot
			continue
		}
		l.mu.Lock()
		reply := l.waiting[a.ID]
		delete(l.waiting, a.ID)
		l.mu.Unlock()
		if reply != nil {
			reply <- a
		}
	}
}

// send sends a request, to which the answer comes on the channel.
func (l *line) send(command string, until time.Duration) (<-chan answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	text, err := json.Marshal(struct {
		ID    int64
		Shell string
		Until int64
	}{l.last, command, int64(until / time.Second)})
	if err != nil {
		return nil, err
	}
	if len(text) > maxRequest {
		return nil, errors.New("cannot send so long a command to the guest: put a script on the RAM disk")
	}
	reply := make(chan answer, 1)
	l.waiting[l.last] = reply
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("cannot reach the guest: %w", err)
	}
	return reply, nil
}

// maxRequest is less than what a terminal keeps for a reader.
const maxRequest = 4000
