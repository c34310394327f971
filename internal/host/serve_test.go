package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// conversation is a relay-host that serves, with both ends of the line.
type conversation struct {
	machine *debian
	line    net.Conn // relayctl's end
	ended   chan error
	stop    context.CancelFunc // as a signal does
}

func converse(t *testing.T) *conversation {
	t.Helper()
	m := newMachine(t)
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	c := &conversation{machine: m, line: here, ended: make(chan error, 1), stop: cancel}
	go func() {
		c.ended <- host.NewConversation(m.host(), there, there).Serve(ctx, hostapi.Hello{Protocol: hostapi.ProtocolVersion, Version: "1.0.0"})
	}()
	t.Cleanup(cancel)
	return c
}

// client reads the greeting and serves relayctl's end until the test ends.
func (c *conversation) client(t *testing.T) *hostapi.Client {
	t.Helper()
	reader := bufio.NewReader(c.line)
	hello, err := hostapi.ReadGreeting(reader)
	if err != nil || hello.Version != "1.0.0" {
		t.Fatalf("the greeting is %+v, %v", hello, err)
	}
	client := hostapi.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{reader, c.line})
	ran := make(chan struct{})
	go func() { defer close(ran); client.Run(t.Context()) }()
	t.Cleanup(func() { client.Close(); <-ran })
	return client
}

func (c *conversation) lock(t *testing.T, client *hostapi.Client) {
	t.Helper()
	if _, err := client.Lock(t.Context(), hostapi.Lock{Stack: "home"}, nil); err != nil {
		t.Fatal(err)
	}
}

// locked reports whether somebody holds the machine's lock.
func (m *debian) locked() bool {
	observation, err := m.host().Observe(m.T.Context(), hostapi.Observe{})
	if err != nil {
		m.T.Fatal(err)
	}
	return observation.Holder != nil
}

func TestWholeConversation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := converse(t)
		client := c.client(t)
		c.lock(t, client)
		content := bytes.Repeat([]byte("0123456789abcdef"), 5*hostapi.MaxPiece/16+7)
		var sent []int
		if err := client.Put(t.Context(), plan.Digest(content), "", content, func(n int) { sent = append(sent, n) }); err != nil {
			t.Fatal(err)
		}
		if len(sent) != 6 || sent[5] != len(content) || !slices.IsSorted(sent) {
			t.Errorf("told of %v bytes sent", sent)
		}
		want := resource(plan.KindProgram, "relay-server", plan.AttrVersion, "1.0.0", plan.AttrDigest, plan.Digest(content))
		var states []hostapi.State
		done, err := client.Apply(t.Context(), hostapi.Apply{Steps: []plan.Change{{ID: want.ID, Action: plan.Create, Resource: &want}}},
			func(p hostapi.Progress) { states = append(states, p.State) })
		if err != nil || len(done.Facts) != 1 || done.Facts[0].Have[plan.AttrDigest] != plan.Digest(content) {
			t.Fatalf("applied %+v, %v", done, err)
		}
		if !slices.Equal(states, []hostapi.State{hostapi.Started, hostapi.Done}) {
			t.Errorf("told of %v", states)
		}
		if err := client.Finish(t.Context(), hostapi.Finish{Stack: "home", OK: true}); err != nil {
			t.Fatal(err)
		}
		if err := client.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.machine.Log["x.service"] = []string{"one", "two"}
		if lines, err := client.Log(t.Context(), "x.service", 5); err != nil || !slices.Equal(lines, []string{"one", "two"}) {
			t.Errorf("the log is %q, %v", lines, err)
		}
		if _, err := client.Reveal(t.Context()); code(err) != hostapi.CodeInternal {
			t.Errorf("without a probe key: %v", err)
		}
		client.Close()
		if err := <-c.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

// slow has a command take a minute, and tells when it has begun.
func (m *debian) slow(at string) (begun chan struct{}) {
	begun = make(chan struct{}, 1)
	m.Point = func(what string) {
		if what == at {
			begun <- struct{}{}
			time.Sleep(time.Minute)
		}
	}
	return begun
}

// install is a long step and one that comes after it.
func install() hostapi.Apply {
	caddy, relay := caddyPackage, resource(plan.KindUser, "relay", plan.AttrHome, "/nonexistent")
	return hostapi.Apply{Steps: []plan.Change{
		{ID: caddy.ID, Action: plan.Create, Resource: &caddy}, {ID: relay.ID, Action: plan.Create, Resource: &relay},
	}}
}

func TestLongStepIsNeverSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := converse(t)
		client := c.client(t)
		c.lock(t, client)
		c.machine.slow("before apt")
		var said, lines []string
		last := time.Now()
		_, err := client.Apply(t.Context(), install(), func(p hostapi.Progress) {
			if silent := time.Since(last); silent > 5*time.Second {
				t.Errorf("silent for %v before %q", silent, p.What)
			}
			last = time.Now()
			said, lines = append(said, words(p)), append(lines, p.Line)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(said, "installing (apt 5 s)") || !slices.Contains(said, "installing (apt 55 s)") {
			t.Errorf("said %q", said)
		}
		if !slices.Contains(lines, "Setting up caddy ...") {
			t.Errorf("nothing of what apt printed is in %q", lines)
		}
	})
}

func isLost(err error) bool {
	var lost *hostapi.LostError
	return errors.As(err, &lost)
}

// However the conversation ends, the step that runs is finished, the next is
// not begun, and the lock is given back.
func TestStepIsFinishedWhenTheConversationEnds(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(c *conversation, cancel context.CancelFunc)
		fine bool // relay-host ends without an error
	}{
		"end of input": {func(c *conversation, _ context.CancelFunc) { c.line.Close() }, true},
		"signal":       {func(c *conversation, _ context.CancelFunc) { c.stop() }, true},
		"cancel": {func(c *conversation, cancel context.CancelFunc) {
			cancel()
			time.Sleep(2 * time.Minute)
			c.line.Close()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := converse(t)
				client := c.client(t)
				c.lock(t, client)
				begun := c.machine.slow("before apt-cache")
				ctx, cancel := context.WithCancel(t.Context())
				applied := make(chan error, 1)
				go func() {
					_, err := client.Apply(ctx, install(), nil)
					applied <- err
				}()
				<-begun
				end.how(c, cancel)
				if err := <-c.ended; (err == nil) != end.fine {
					t.Errorf("it ended with %v", err)
				}
				if err := <-applied; code(err) != hostapi.CodeCancelled && !isLost(err) {
					t.Errorf("apply ended with %v", err)
				}
				if !c.machine.Packages["caddy"].Installed {
					t.Error("the step was cut off")
				}
				if strings.Contains(c.machine.Read("/etc/passwd"), "relay:") {
					t.Error("the next step was begun")
				}
				if c.machine.locked() {
					t.Error("the lock is still held")
				}
				if fact := c.machine.observe().Find(caddyPackage.ID); fact.Applied == nil || !fact.Applied.Made {
					t.Errorf("the manifest does not know of it: %+v", fact)
				}
				cancel()
			})
		})
	}
}

// A line that went dead is noticed, also when nobody reads what is said.
func TestSilenceEndsTheConversation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := converse(t)
		if _, err := hostapi.ReadGreeting(bufio.NewReader(c.line)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c.line, hostapi.Start+"\n"+`{"id":1,"op":"lock","params":{"stack":"home"}}`)
		for id := range 300 {
			if _, err := fmt.Fprintf(c.line, `{"id":%d,"op":"ping"}`+"\n", id+2); err != nil {
				t.Fatal(err)
			}
			if id == responsesThatFit {
				break // nobody reads the answers: more would wait for ever
			}
		}
		begun := time.Now()
		err := <-c.ended
		if err == nil || err.Error() != "nothing was heard of relayctl for 30s" {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(begun); took < 30*time.Second || took > 45*time.Second {
			t.Errorf("it took %v", took)
		}
		if c.machine.locked() {
			t.Error("the lock is still held")
		}
	})
}

// responsesThatFit is how many answers relay-host keeps for a line that takes
// none: those in its queue and the one that is being written.
const responsesThatFit = 64

func TestPingIsAnsweredWhileAStepRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := converse(t)
		client := c.client(t)
		c.lock(t, client)
		begun := c.machine.slow("before apt")
		applied := make(chan error, 1)
		go func() {
			_, err := client.Apply(t.Context(), install(), nil)
			applied <- err
		}()
		<-begun
		// Without an answer to its pings the client would give up after 30 s.
		if err := <-applied; err != nil {
			t.Error(err)
		}
	})
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, test := range []struct{ request, answer string }{
		{`{"id":7,"op":"dance"}`, `{"id":7,"error":{"code":"bad_request","message":"unknown operation \"dance\"","step":-1}}`},
		{`{"id":8,"op":"journal","params":[]}`, `{"id":8,"error":{"code":"bad_request"`},
		{`{"id":9,"op":"apply"}`, `{"id":9,"error":{"code":"not_locked","message":"the lock is not held","step":-1}}`},
		{`{"id":10,"op":"ping"}`, `{"id":10,"result":null}`},
		{`{"id":11,"op":"cancel","params":{"id":99}}`, `{"id":11,"result":null}`},
	} {
		bubble(t, func(t *testing.T) {
			c := converse(t)
			reader := bufio.NewReader(c.line)
			if _, err := hostapi.ReadGreeting(reader); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(c.line, hostapi.Start+"\n"+test.request)
			if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, test.answer) {
				t.Errorf("%s: the answer is %s, %v", test.request, line, err)
			}
			c.line.Close()
			<-c.ended
		})
	}
}

// A password that sudo left unread is not taken for a request, and what comes in
// the place of a beginning is not repeated by any error.
func TestWhatComesBeforeTheStart(t *testing.T) {
	const password = "hunter2"
	for name, test := range map[string]struct {
		comes, answer string
		ends          string // the error
	}{
		"a password":          {password + "\n" + hostapi.Start + "\n" + `{"id":1,"op":"ping"}`, `{"id":1,"result":null}`, "<nil>"},
		"one that is JSON":    {`{"id":1,"op":"lock"}` + "\n" + hostapi.Start + "\n" + `{"id":2,"op":"ping"}`, `{"id":2,"result":null}`, "<nil>"},
		"a password for ever": {strings.Repeat(password+"\n", 10_000), "", "read request: no start from relayctl within 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := converse(t)
				reader := bufio.NewReader(c.line)
				if _, err := hostapi.ReadGreeting(reader); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(c.line, test.comes)
				if line, err := reader.ReadString('\n'); strings.TrimSpace(line) != test.answer {
					t.Errorf("the answer is %s, %v", line, err)
				}
				c.line.Close()
				if err := <-c.ended; fmt.Sprint(err) != test.ends {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// What can't be understood leaves no way to know where the next request
// begins: the conversation ends.
func TestBrokenLineEndsTheConversation(t *testing.T) {
	for _, line := range []string{"{", `{"id":1,"op":"put","params":{"size":-1}}`, `{"id":1,"op":"put","params":{"size":300000}}`, `{"id":1,"op":"put","params":7}`} {
		bubble(t, func(t *testing.T) {
			c := converse(t)
			if _, err := hostapi.ReadGreeting(bufio.NewReader(c.line)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(c.line, hostapi.Start+"\n"+line)
			if err := <-c.ended; err == nil {
				t.Errorf("%s: no error", line)
			}
			synctest.Wait()
		})
	}
}
