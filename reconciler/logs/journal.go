package logs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"svc.d/reconciler/logs/cri"
)

const (
	// journalMagic names the layout. A journal of another layout is not read.
	journalMagic = 0x31_6c_6e_72_6a_67_6f_6c // "logjrnl1"

	headPage = 4096
	// heldSlots bounds how many streams may have an unfinished line at a time
	// that waits for its end; those of others are split.
	heldSlots = 128
	// chunkSize is how much is read from a pipe at a time: more does not stay in
	// the processor's cache.
	chunkSize = 128 << 10
	// batchSize is how much is written to a file at a time.
	batchSize = 256 << 10

	lossSize  = int(unsafe.Sizeof(lossSlot{}))
	heldSize  = int(unsafe.Sizeof(heldSlot{}))
	rawSize   = cri.MaxText + chunkSize + 1
	lossesAt  = headPage
	heldAt    = lossesAt + lossSlots*lossSize
	textAt    = (heldAt + heldSlots*heldSize + headPage - 1) &^ (headPage - 1)
	rawAt     = textAt + heldSlots*cri.MaxText
	outAt     = (rawAt + rawSize + headPage - 1) &^ (headPage - 1)
	journalOf = outAt + batchSize
)

// stage is how far the chunk in the journal is.
type stage = uint32

const (
	stageIdle    stage = iota
	stageReading       // Announced bytes are about to be read from the pipe
	stageWriting       // Length bytes are there, Done of them are in the file
	stageHolding       // the rest goes to a slot, to wait for the end of its line
)

// key names a stream in the journal: "web-0.stdout", then zeros.
type key [96]byte

// journalHead is the state of the chunk that is worked on. Each field is written
// before the store of Stage (or Batch) that makes it count.
type journalHead struct {
	Magic uint64
	// Nonce stands at the end of the place of announced bytes until they are
	// read. Of fewer bytes than a nonce Content is what they are, and their
	// complement stands there.
	Nonce   [nonceSize]byte
	Content [nonceSize]byte
	Stage   uint32
	// Batch is 1 while out holds OutLength bytes that belong into the file at
	// Offset, or are there; Done is After then.
	Batch     uint32
	Key       key
	Held      uint32 // how much of raw was held before
	Announced uint32
	Flush     uint32 // 1: nothing is to be held
	Length    uint32
	Done      uint32
	Slot      int32 // where the stream's unfinished line is; -1: nowhere
	OutLength uint32
	After     uint32
	Device    uint64
	Inode     uint64
	Offset    int64
}

const nonceSize = 16

// heldSlot is a line whose end has not come yet.
type heldSlot struct {
	Key    key
	Length uint32 // 0: free
	_      uint32
}

// journal is a file that is mapped into memory: what is in it outlives the
// process, whatever ends it, as long as the machine runs. Output is read from
// the pipes into it and formatted in it, so that a successor can go on with
// what was taken from a pipe and is not, or not all, in its file.
//
// One read cannot be half done (the announced bytes are there, nobody else
// reads, and a pipe gives what it has before it looks at signals), so all a
// successor must know is whether it was done: then what stood there before is
// not there any more. That is a random nonce or, for a few bytes, their
// complement.
//
// The lane's goroutine owns it.
type journal struct {
	*journalHead
	losses *[lossSlots]lossSlot
	held   *[heldSlots]heldSlot
	text   []byte // of the slots
	raw    []byte
	out    []byte
	mem    []byte
	mapped bool
}

// openJournal maps the file at path, which it makes when it is missing. When that
// cannot be had the error tells why, and the journal is plain memory that ends with
// the process.
func openJournal(path string) (j *journal, err error) {
	mem, err := mapFile(path)
	if err != nil {
		mem = make([]byte, journalOf)
	}
	j = &journal{
		journalHead: (*journalHead)(unsafe.Pointer(&mem[0])),
		losses:      (*[lossSlots]lossSlot)(unsafe.Pointer(&mem[lossesAt])),
		held:        (*[heldSlots]heldSlot)(unsafe.Pointer(&mem[heldAt])),
		text:        mem[textAt:rawAt],
		raw:         mem[rawAt : rawAt+rawSize],
		out:         mem[outAt : outAt+batchSize],
		mem:         mem,
		mapped:      err == nil,
	}
	if j.Magic != journalMagic {
		clear(mem[:textAt])
		_, _ = rand.Read(j.Nonce[:])
		j.Magic = journalMagic
	}
	return j, err
}

func mapFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("it is no regular file")}
	}
	if st.Size != int64(journalOf) {
		if err := unix.Ftruncate(fd, 0); err != nil {
			return nil, &os.PathError{Op: "truncate", Path: path, Err: err}
		}
	}
	// A page that the disk has no room for would be a SIGBUS.
	err = unix.Fallocate(fd, 0, 0, int64(journalOf))
	for err == unix.EINTR { // a signal, as Go's scheduler sends them
		err = unix.Fallocate(fd, 0, 0, int64(journalOf))
	}
	if err != nil {
		if err == unix.EOPNOTSUPP {
			err = errors.New("its file system cannot reserve room")
		}
		return nil, &os.PathError{Op: "allocate", Path: path, Err: err}
	}
	mem, err := unix.Mmap(fd, 0, journalOf, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	return mem, nil
}

// enter makes what was written before count.
func (j *journal) enter(s stage) { atomic.StoreUint32(&j.Stage, s) }

func (j *journal) setBatch(is uint32) { atomic.StoreUint32(&j.Batch, is) }

// announce prepares the reading of n bytes behind those that were held.
// peeked are the bytes themselves when they are fewer than a nonce.
func (j *journal) announce(k key, slot int32, n int, peeked []byte) {
	j.Key, j.Slot, j.Announced, j.Flush = k, slot, uint32(n), 0
	j.Held = uint32(j.unhold(slot))
	place := j.place()
	if n >= nonceSize {
		copy(place[n-nonceSize:], j.Nonce[:])
	} else {
		copy(j.Content[:], peeked)
		for i := range place {
			place[i] = ^peeked[i]
		}
	}
	j.enter(stageReading)
}

// place is where the announced bytes go.
func (j *journal) place() []byte { return j.raw[j.Held : j.Held+j.Announced] }

// unhold copies what a slot holds to the head of raw.
func (j *journal) unhold(slot int32) int {
	if slot < 0 {
		return 0
	}
	return copy(j.raw, j.textOf(slot)[:j.held[slot].Length])
}

// textOf is the room for the text of a slot.
func (j *journal) textOf(slot int32) []byte {
	return j.text[int(slot)*cri.MaxText : int(slot+1)*cri.MaxText]
}

// wasRead says whether the announced bytes were read.
func (j *journal) wasRead() bool {
	place := j.place()
	if n := len(place); n < nonceSize {
		return string(place) == string(j.Content[:n])
	}
	return string(place[len(place)-nonceSize:]) != string(j.Nonce[:])
}

// filled begins the writing of n bytes of raw.
func (j *journal) filled(n int) {
	j.Length, j.Done = uint32(n), 0
	j.setBatch(0)
	j.enter(stageWriting)
}

// rest is what is not in the file yet.
func (j *journal) rest() []byte { return j.raw[j.Done:j.Length] }

// batched makes the first n bytes of out count: they belong into a file at an
// offset, and hold the first used bytes of rest.
func (j *journal) batched(n, used int, device, inode uint64, offset int64) {
	j.OutLength, j.After = uint32(n), j.Done+uint32(used)
	j.Device, j.Inode, j.Offset = device, inode, offset
	j.setBatch(1)
}

// wrote ends a batch.
func (j *journal) wrote() {
	atomic.StoreUint32(&j.Done, j.After)
	j.setBatch(0)
}

// lost ends a batch that could not be written: its bytes are passed over.
func (j *journal) lost(used int) {
	atomic.StoreUint32(&j.Done, j.Done+uint32(used))
	j.setBatch(0)
}

// freeSlot finds a slot for an unfinished line; -1 when there is none.
func (j *journal) freeSlot() int32 {
	for n := range j.held {
		if j.held[n].Length == 0 {
			return int32(n)
		}
	}
	return -1
}

// holding ends the writing of the chunk: its rest, which may be empty, is to go to
// the slot, or there is none.
func (j *journal) holding(slot int32) {
	j.Slot = slot
	j.enter(stageHolding)
}

// hold ends the chunk. The answer is the slot where its rest is, or -1. To repeat
// it does no harm.
func (j *journal) hold() int32 {
	slot := j.Slot
	if slot >= 0 {
		h, rest := &j.held[slot], j.rest()
		copy(j.textOf(slot), rest)
		h.Key = j.Key
		h.Length = uint32(len(rest))
		if len(rest) == 0 {
			slot = -1
		}
	}
	j.enter(stageIdle)
	return slot
}

// close unmaps the file. What is in it stays there.
func (j *journal) close() {
	if j.mapped {
		_ = unix.Munmap(j.mem)
	}
}
