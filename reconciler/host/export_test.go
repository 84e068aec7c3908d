package host

// HangDirectStarts makes workers hang that look for a program which can be
// executed directly, until it is released. It stands for a call to the kernel
// that does not return.
func (h *Host) HangDirectStarts() (release func()) {
	h.programs.mu.Lock()
	return h.programs.mu.Unlock
}
