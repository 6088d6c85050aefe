package main

import (
	"os"
	"runtime/debug"
)

// What the garbage collector is told where the environment does not say it.
// Most of what the bot allocates is dead when its answer is given, and little
// lives long: to collect at four times what lives costs a third of the CPU that
// it costs at twice, and some 30 MB. Where much is alive after all, because a
// flood waits for its commit, the limit has it collected sooner.
const (
	gcPercent   = 300
	memoryLimit = 160 << 20
)

func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
