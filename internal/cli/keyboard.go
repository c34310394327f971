package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// keyboard is where the user types. A terminal can't be told to stop reading:
// who waits for a line no longer leaves it to who asks next.
type keyboard struct {
	in        *bufio.Reader
	continued <-chan os.Signal
	reading   chan typed // gets what is being read just now; nil: nothing is
}

// typed is a line without its end, or why there is none.
type typed struct {
	line string
	err  error
}

func newKeyboard(s System) *keyboard {
	return &keyboard{in: bufio.NewReader(s.Stdin), continued: s.Continued}
}

// line asks, and waits for a line. It asks again when the user comes back from
// somewhere else, where the terminal was used for other things. One call at a
// time.
func (k *keyboard) line(ctx context.Context, ask func()) (string, error) {
	select {
	case <-k.continued: // before
	default:
	}
	ask()
	if k.reading == nil {
		k.reading = make(chan typed, 1)
		go func(reading chan<- typed) { reading <- k.read() }(k.reading)
	}
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-k.continued:
			ask()
		case answer := <-k.reading:
			k.reading = nil
			return answer.line, answer.err
		}
	}
}

// read reads a line. An unfinished one is no answer.
func (k *keyboard) read() typed {
	line, err := k.in.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		return typed{err: errNothingTyped}
	case err != nil:
		return typed{err: fmt.Errorf("read what is typed: %w", err)}
	}
	return typed{line: strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")}
}

// hideTyping stops a terminal from showing what is typed, until show is called.
// What was typed before is dropped: it was no answer to what is asked now.
func hideTyping(fd int) (show func(), err error) {
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	hidden := *was
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermiosAndDrop, &hidden); err != nil {
		return nil, err
	}
	return func() {
		unix.IoctlSetTermios(fd, setTermios, was) // of a terminal that is gone: nobody needs it
	}, nil
}
