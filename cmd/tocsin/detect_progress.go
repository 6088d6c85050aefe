package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress draws a progress bar on a terminal. It does nothing if the output is not
// a terminal.
type progress struct {
	out   io.Writer // nil if not a terminal
	total int64
	done  int64
	drawn time.Time
	shown bool
}

func newProgress(w io.Writer) *progress {
	f := terminalFile(w)
	if f == nil || os.Getenv("TERM") == "dumb" {
		return &progress{}
	}
	return &progress{out: f}
}

// reader returns a reader of src that advances the progress bar.
func (p *progress) reader(src io.Reader) io.Reader {
	if p.out == nil {
		return src
	}
	return &progressReader{src, p}
}

type progressReader struct {
	src io.Reader
	p   *progress
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.src.Read(b)
	r.p.done += int64(n)
	if now := time.Now(); now.Sub(r.p.drawn) > 100*time.Millisecond {
		r.p.drawn = now
		r.p.draw()
	}
	return n, err
}

const barWidth = 40

func (p *progress) draw() {
	p.shown = true
	if p.total == 0 { // the size of the standard input is unknown
		fmt.Fprintf(p.out, "\r\x1b[K%d MB", p.done>>20)
		return
	}
	full := min(int(p.done*barWidth/p.total), barWidth)
	fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %3d %%", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), min(p.done*100/p.total, 100))
}

// clear erases the bar before a line is printed.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
