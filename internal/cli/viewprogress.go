package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// progress prints what happens on the hosts, an event a line. When nothing has
// happened for a while it says what everybody is at, so that a wait is never
// silent.
type progress struct {
	view  *view
	width int // of the column of host names

	mu   sync.Mutex
	last time.Time           // of the last line
	busy map[string]activity // by host; "" is the stack as a whole
	said map[string]string   // what a host waited for when that was said last

	proving map[string]int // how often each wait of the proof was told
}

// activity is what a host is at.
type activity struct {
	text  string
	since time.Time
}

// silence is the longest time without a line; nobody should wait for 10 s
// without knowing what for.
const silence = 9 * time.Second

func newProgress(v *view, hosts []string) *progress {
	p := &progress{view: v, last: time.Now(), busy: map[string]activity{}, said: map[string]string{}, proving: map[string]int{}}
	for _, name := range hosts {
		p.width = max(p.width, len(name))
	}
	return p
}

// start begins to look out for silence until ctx ends; stop waits for the end.
func (p *progress) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				p.beat(now)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// beat says what everybody is at, if nothing was said for long.
func (p *progress) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) < silence || len(p.busy) == 0 {
		return
	}
	for _, host := range p.busyHosts() {
		at := p.busy[host]
		text := still(at.text)
		if !strings.HasSuffix(strings.TrimSuffix(text, ")"), " s") { // it does not say for how long itself
			text += " (" + plan.Seconds(now.Sub(at.since).Round(time.Second)) + ")"
		}
		p.line(host, text)
	}
}

func (p *progress) busyHosts() []string {
	var hosts []string
	for host := range p.busy {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return hosts
}

// hear takes an event of the engine.
func (p *progress) hear(e engine.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Phase {
	case engine.Connecting:
		p.at(e.Host, connecting)
	case engine.Connected:
		p.at(e.Host, waitingForOthers)
		p.lookWhenAllConnected()
	case engine.Looked:
		delete(p.busy, e.Host)
	case engine.NewHostKey:
		p.line(e.Host, "new host key accepted: "+e.Text)
	case engine.Proving:
		p.proves(e)
	case engine.Done:
		p.at(e.Host, "at work")
		p.line(e.Host, thing(e.ID)+": "+did(e)+took(e.Took))
	case engine.Reached:
		p.at(e.Host, "at work")
		p.line(e.Host, e.Text+after(e.Took))
	case engine.Finished:
		delete(p.busy, e.Host)
		p.line(e.Host, fmt.Sprintf("done, %s in %s", plural(e.Steps, "step", "steps"), plan.Seconds(e.Took)))
	case engine.Failed:
		delete(p.busy, e.Host)
		if e.Steps > 0 { // else the whole error comes at once
			p.line(e.Host, "failed: "+e.Text)
		}
		p.lookWhenAllConnected()
	default:
		p.waits(e)
	}
}

// What hosts are at before the first look.
const (
	connecting       = "connecting"
	waitingForOthers = "waiting for the other hosts"
)

// lookWhenAllConnected notes that the hosts are looked at: that begins for all
// at once, when the last has answered or failed.
func (p *progress) lookWhenAllConnected() {
	for _, at := range p.busy {
		if at.text == connecting {
			return
		}
	}
	for host, at := range p.busy {
		if at.text == waitingForOthers {
			p.at(host, "looking at it")
		}
	}
}

// waits takes an event of something that goes on. It gets a line when it is
// something new; what takes long is said again by beat.
func (p *progress) waits(e engine.Event) {
	text := doing(e)
	said := text
	if e.Phase == engine.Uploading {
		said = uploading(e)
		if e.Sent >= e.Size {
			text = "at work"
		}
	}
	p.at(e.Host, text)
	if isQuick(e) || !p.isNew(e.Host, said) {
		return
	}
	p.line(e.Host, said)
}

// proves takes an event of the proof. Most models answer at once, so only what
// is told a second time gets a line.
func (p *progress) proves(e engine.Event) {
	maps.DeleteFunc(p.busy, func(host string, _ activity) bool { return host != "" }) // they have got as far as they will
	text := doing(e)
	p.at("", text)
	p.proving[text]++
	if p.proving[text] == 2 {
		p.line("", text)
	}
}

// isNew reports whether a host waits for something else than the last time;
// for how long is no difference.
func (p *progress) isNew(host, said string) bool {
	what, _, _ := strings.Cut(said, " (")
	if p.said[host] == what {
		return false
	}
	p.said[host] = what
	return true
}

// at notes what a host is at; the same thing with other numbers goes on since
// it began.
func (p *progress) at(host, text string) {
	since := time.Now()
	if before, ok := p.busy[host]; ok && strings.Map(withoutDigits, before.text) == strings.Map(withoutDigits, text) {
		since = before.since
	}
	p.busy[host] = activity{text, since}
}

func withoutDigits(r rune) rune {
	if r >= '0' && r <= '9' || r == '.' {
		return -1
	}
	return r
}

// isQuick reports whether a step that begins is over before anybody has read
// that it began.
func isQuick(e engine.Event) bool {
	return e.Phase == engine.Started && e.ID.Kind != plan.KindPackage && e.ID.Kind != plan.KindUnit ||
		e.Phase == engine.Uploading && e.Steps == 0
}

func (p *progress) line(host, text string) {
	p.last = time.Now()
	if host == "" {
		p.view.errs.printf("%s\n", p.view.clean(text))
		return
	}
	p.view.errs.printf("%-*s  %s\n", p.width, p.view.clean(host), p.view.clean(text))
}

// stopping says what is waited for after the user asked to stop.
func (p *progress) stopping() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view.errs.printf("\n") // behind the ^C of the terminal
	p.line("", "Stopping: every host finishes the step it is in. Ctrl-C again stops at once.")
	for _, host := range p.busyHosts() {
		p.line(host, p.busy[host].text)
	}
}

// stoppedHard says what becomes of the hosts when relayctl ends at once.
func (p *progress) stoppedHard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("", "Stopped at once. Every host finishes the step it is in by itself; run apply again to go on.")
}
