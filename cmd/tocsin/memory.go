package main

import (
	"os"
	"runtime/debug"
)

// Defaults of GOGC and GOMEMLIMIT. Almost all allocations are garbage when a
// request has been answered, so the live heap is small. Collecting at four times
// the live heap takes a third of the CPU time of collecting at twice the live
// heap, and about 30 MB. If many requests wait for their commit and the live heap
// grows, the memory limit makes the collector run earlier.
const (
	gcPercent   = 300
	memoryLimit = 160 << 20
)

// tuneMemory sets the defaults of the garbage collector. The environment variables
// GOGC and GOMEMLIMIT take precedence.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
