package world

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
)

// Build compiles a package of the module into the file: without C, as it is
// released, unless the race detector is asked for, which needs it.
func Build(file, pkg string, flags ...string) error {
	arguments := append([]string{"build", "-o", file}, flags...)
	command := exec.Command("go", append(arguments, pkg)...)
	if !slices.Contains(flags, "-race") {
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, output)
	}
	return nil
}

// Machine code for Linux on x86-64. The marks are written to standard output.
var (
	codeMark = []byte{
		0xbf, 1, 0, 0, 0, // mov $1, %edi
		0x48, 0x8d, 0x35, 14, 0, 0, 0, // lea 14(%rip), %rsi: the byte behind the next jump
		0xba, 1, 0, 0, 0, // mov $1, %edx
		0xb8, 1, 0, 0, 0, // mov $1, %eax: write
		0x0f, 0x05, // syscall
		0xeb, 1, // jmp over the byte
		'x',
	}
	codePause = []byte{
		0xb8, 34, 0, 0, 0, // mov $34, %eax: pause
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp to the beginning
	}
	codeExit = []byte{
		0x31, 0xff, // xor %edi, %edi
		0xb8, 231, 0, 0, 0, // mov $231, %eax: exit_group
		0x0f, 0x05, // syscall
	}
)

// WriteSleeper writes a program that sleeps until a signal ends it. It is of one
// page, so that a thousand of them cost next to nothing.
func WriteSleeper(file string) error { return writeProgram(file, codePause) }

// WriteMarkingSleeper writes a program that writes one byte to its standard
// output and then sleeps.
func WriteMarkingSleeper(file string) error { return writeProgram(file, codeMark, codePause) }

// WriteMarker writes a program that writes one byte and ends with code 0.
func WriteMarker(file string) error { return writeProgram(file, codeMark, codeExit) }

func writeProgram(file string, code ...[]byte) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("cannot write a program for %s: only x86-64 is known", runtime.GOARCH)
	}
	const base, headers = 0x400000, 64 + 56
	text := bytes.Join(code, nil)
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, part := range []any{
		// elf(5), Elf64_Ehdr: an executable for x86-64 with one program header.
		uint16(2), uint16(62), uint32(1), uint64(base + headers), uint64(64), uint64(0),
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		// Elf64_Phdr: load the whole file, readable and executable.
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base),
		uint64(headers + len(text)), uint64(headers + len(text)), uint64(4096),
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	b.Write(text)
	return os.WriteFile(file, b.Bytes(), 0o755)
}
