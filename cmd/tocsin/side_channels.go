package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// guardSideChannels prevents that a reader of the output, or a signal without a
// meaning for Tocsin, ends or stops a process that serves. It returns the standard
// error for the log and a function that ends the protection.
//
//   - A reader of a pipe that goes away causes SIGPIPE, which ends a process. It
//     then has the status of a clean exit for systemd.
//   - A terminal with tostop sends SIGTTOU to a background process that writes,
//     which stops the process.
//   - SIGQUIT ends a Go program. It is used to print the stacks of a program that
//     continues.
func guardSideChannels() (log io.Writer, stop func()) {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU)
	log = detachStderr()
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		for range quit {
			printStacks(log)
		}
	}()
	return log, func() {
		signal.Stop(quit)
		close(quit)
	}
}

// printStacks writes the stacks of all goroutines, up to 1 MiB.
func printStacks(out io.Writer) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	fmt.Fprintf(out, "SIGQUIT: stacks of all goroutines\n%s\n", stacks)
}

const (
	// crashBuffer is the size of the kernel's buffer for the standard error, in bytes.
	// It is the default maximum of Linux.
	crashBuffer = 1 << 20
	// setPipeSize is F_SETPIPE_SZ of fcntl, which package syscall lacks.
	setPipeSize = 1031
)

// detachStderr returns a copy of the standard error for the log, whose writes
// block. File descriptor 2 itself no longer blocks: the runtime writes there when
// the program crashes, and a reader that stalls would prevent the exit. The buffer
// of the kernel gets room for the report of a crash. Text beyond it is lost.
//
// If that is not possible, for example for a regular file, it returns os.Stderr.
func detachStderr() io.Writer {
	var info syscall.Stat_t
	if err := syscall.Fstat(2, &info); err != nil {
		return os.Stderr
	}
	kind := info.Mode & syscall.S_IFMT
	if kind != syscall.S_IFIFO && kind != syscall.S_IFCHR && kind != syscall.S_IFSOCK {
		return os.Stderr // writes to a regular file do not wait for a reader
	}
	if kind == syscall.S_IFIFO {
		_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, 2, setPipeSize, crashBuffer) // fails only if the pipe already has its size
	} else if kind == syscall.S_IFSOCK {
		_ = syscall.SetsockoptInt(2, syscall.SOL_SOCKET, syscall.SO_SNDBUF, crashBuffer) // the kernel caps it
	}
	// Fork holds ForkLock until its child has closed all descriptors that it must
	// not inherit.
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(2)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return os.Stderr
	}
	// Opening the pipe or terminal again gives this process its own flags. Other
	// processes, such as the shell on the terminal, share the inherited ones.
	if own, err := syscall.Open("/proc/self/fd/2", syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0); err == nil {
		defer func() { _ = syscall.Close(own) }()
		if syscall.Dup3(own, 2, 0) == nil {
			return os.NewFile(uintptr(fd), "stderr")
		}
	} else if kind != syscall.S_IFCHR { // a socket, or the pipe of another user
		_ = syscall.SetNonblock(2, true) // the copy waits by polling
	}
	return os.NewFile(uintptr(fd), "stderr")
}
