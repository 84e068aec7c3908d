// Package vm boots small virtual machines for tests: what a container cannot
// show, such as being process 1, power loss, another kernel, and systemd.
//
// A guest is Debian's cloud kernel under qemu, without network and without KVM,
// with a RAM disk that is written here. A program of ours in it (test/vm/guest)
// does what the test asks over the second serial port, so that a test reads like
// one of this machine: it runs commands in the guest and judges what they print.
// hack/vm fetches what a guest is made of.
package vm
