package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// cacheEnv names another folder for what guests are made of.
const cacheEnv = "RECONCILER_VM_CACHE"

// modules are the drivers of a disk that the kernel does not have built in, in
// the order in which they need each other.
var modules = []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"}

// Parts are the files of this machine that guests are made of.
type Parts struct {
	qemu, busybox string
	kernel        string
	modules       string // the folder of the drivers
	root          string // an image of Debian with systemd
}

// FindParts looks for what every guest is made of, which hack/vm puts there.
func FindParts() (Parts, error) {
	cache := os.Getenv(cacheEnv)
	if cache == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			return Parts{}, fmt.Errorf("cannot find the cache of virtual machines: %w; name one by %s", err, cacheEnv)
		}
		cache = filepath.Join(folder, "reconciler-vm")
	}
	p := Parts{
		busybox: "/usr/bin/busybox", kernel: cache + "/kernel/vmlinuz", modules: cache + "/kernel/modules",
		root: cache + "/debian.ext4",
	}
	var lacking error
	p.qemu, lacking = exec.LookPath("qemu-system-x86_64")
	for _, path := range []string{p.busybox, p.kernel, p.modules} {
		_, err := os.Stat(path)
		lacking = errors.Join(lacking, err)
	}
	if lacking != nil {
		return p, fmt.Errorf("cannot boot a virtual machine (hack/vm fetches what is missing): %w", lacking)
	}
	return p, nil
}

// FindDebian looks for the image of Debian with systemd too.
func FindDebian() (Parts, error) {
	p, err := FindParts()
	if err != nil {
		return p, err
	}
	if _, err := os.Stat(p.root); err != nil {
		return p, fmt.Errorf("cannot boot Debian (hack/vm makes its image, as root): %w", err)
	}
	return p, nil
}

// Base is the RAM disk that every guest has: a shell, the drivers, and guest,
// the program of test/vm/guest. /init is the caller's.
func (p Parts) Base(guest string) (*Archive, error) {
	a := &Archive{}
	for _, folder := range []string{"proc", "sys", "dev", "run", "tmp", "etc", "root"} {
		a.AddFolder(folder)
	}
	err := errors.Join(a.AddProgram("/bin/busybox", p.busybox), a.AddProgram("/bin/guest", guest))
	for _, m := range modules {
		// What is missing is built in.
		if data, err := os.ReadFile(filepath.Join(p.modules, m+".ko")); err == nil {
			a.Add("/modules/"+m+".ko", 0o644, string(data))
		}
	}
	a.Link("/bin/sh", "busybox")
	a.Add("/lib/start", 0o755, start)
	return a, err
}

// start is the beginning of each guest's /init, which reads it by "." .
const start = `
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
	[ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
`
