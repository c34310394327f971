package remote

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync"
)

// process is a program that runs on the host.
type process struct {
	stdin  io.WriteCloser
	stdout io.Reader
	stderr *tail
	end    func() // lets go of it; it sees its input end
	kill   func() // ends it at once, where that is possible
	ended  chan struct{}
	exit   error // how it ended, once ended is closed: nil, *ExitError or *LostError
}

// wait returns how the process ended.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return p.exit
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Session is a program that was started and has greeted. Reading and writing
// are its standard output, from after the greeting, and its standard input.
type Session struct {
	process *process
	path    string
	digest  string
	reader  *bufio.Reader
}

// Read reads the program's standard output. At io.EOF, Wait tells why it ended.
func (s *Session) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Write writes to the program's standard input.
func (s *Session) Write(p []byte) (int, error) { return s.process.stdin.Write(p) }

// Wait waits for the program to end. The error is *ExitError where it ended
// badly, *LostError where the connection ended first, or the cause of ctx.
func (s *Session) Wait(ctx context.Context) error { return s.process.wait(ctx) }

// Stderr is the end of what the program wrote to its standard error so far.
func (s *Session) Stderr() string { return s.process.stderr.String() }

// Close lets go of the program without waiting for it: its input ends, and it
// finishes what it is in the middle of.
func (s *Session) Close() error {
	s.process.end()
	return nil
}

// tailSize is how much of a standard error is kept, in bytes: enough for what
// sudo, a shell or a Go panic's first lines say.
const tailSize = 8 << 10

// tail keeps the last tailSize bytes written to it.
type tail struct {
	mu   sync.Mutex
	text []byte

	prompt     string // of sudo; "": it is not expected to ask
	answers    int    // how often it may ask
	unanswered func() // called once, when it asks more often; then nil
	unfed      bool   // it did
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	t.look()
	return len(p), nil
}

// expect tells that sudo may ask with a prompt as often as there are answers,
// and what to do when it asks once more.
func (t *tail) expect(prompt string, answers int, unanswered func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prompt, t.answers, t.unanswered = prompt, answers, unanswered
	t.look()
}

// look counts the prompts. A shell that shows what it runs (set -x) shows the
// prompt as well, after its option.
func (t *tail) look() {
	if t.unanswered == nil {
		return
	}
	text := string(t.text)
	if strings.Count(text, t.prompt)-strings.Count(text, "-p "+t.prompt) > t.answers {
		go t.unanswered()
		t.unanswered, t.unfed = nil, true
	}
}

// isUnanswered reports whether sudo asked more often than there are answers.
func (t *tail) isUnanswered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unfed
}

// answered tells that sudo has what it wanted: from now on its end is nobody's
// matter.
func (t *tail) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unanswered = nil
}

// String is what was written, less sudo's prompts.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.prompt == "" {
		return string(t.text)
	}
	var said strings.Builder
	for line := range strings.Lines(string(t.text)) {
		before, after, asked := strings.Cut(line, t.prompt)
		switch {
		case !asked:
			said.WriteString(line)
		case strings.HasSuffix(before, "-p "), strings.HasPrefix(after, "]"): // a shell's trace; "[sudo: PROMPT] Password:"
		default:
			said.WriteString(before + after)
		}
	}
	return said.String()
}
