package e2e_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// blow is one disturbance of an apply.
type blow struct {
	// line is a part of the output line at which it falls; empty: the place-th
	// line after the plan.
	line  string
	place int
	delay time.Duration // after that line
	// fall does it, while relayctl runs.
	fall func(relayctl *os.Process)
	then *blow // the next one; nil: none
}

// struck runs an apply with a blow, which has to fall: a test of an apply that
// nothing disturbed would show nothing.
func (s *site) struck(b blow, args ...string) result {
	s.t.Helper()
	return s.struckIn(b, append([]string{"apply", "--yes", "--keys-out", "keys"}, args...)...)
}

// struckIn is struck for any command.
func (s *site) struckIn(b blow, args ...string) result {
	s.t.Helper()
	r, left := s.strikeIn(b, args...)
	if left != nil {
		s.t.Fatalf("the blow at %q fell wide: relayctl ended before", left.line)
	}
	return r
}

// strikeIn runs a command with a blow, and tells which one was left to fall when
// it ended; nil: none.
func (s *site) strikeIn(b blow, args ...string) (r result, left *blow) {
	s.t.Helper()
	cmd := s.command(args...)
	out, in, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	r, left = s.listen(bufio.NewScanner(out), &b, cmd)
	out.Close()
	cmd.Wait() // its exit code tells
	r.code = cmd.ProcessState.ExitCode()
	s.said.WriteString(r.out)
	s.t.Logf("relayctl %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.out)
	if strings.Contains(r.out, "panic:") || strings.Contains(r.out, "goroutine ") {
		s.t.Error("relayctl broke down")
	}
	return r, left
}

// listen reads what relayctl prints, and has the blow fall at its line.
func (s *site) listen(lines *bufio.Scanner, b *blow, cmd *exec.Cmd) (r result, left *blow) {
	planned, place := false, 0
	for lines.Scan() {
		line := lines.Text()
		r.out += line + "\n"
		if planned {
			place++
		}
		planned = planned || strings.Contains(line, "to change, ")
		if b == nil || !planned || b.line == "" && place != b.place || !strings.Contains(line, b.line) {
			continue
		}
		select {
		case <-time.After(b.delay):
		case <-s.t.Context().Done():
		}
		r.out += "*** now ***\n"
		b.fall(cmd.Process)
		b = b.then
	}
	if err := lines.Err(); err != nil {
		s.t.Errorf("read what relayctl prints: %v", err)
	}
	return r, b
}

// The three kinds of sudden ends.
func (s *site) killRelayctl(relayctl *os.Process) {
	if err := relayctl.Kill(); err != nil {
		s.t.Logf("relayctl was quicker: %v", err)
	}
}

// killRelayHost ends the relay-host on a host, if one runs there.
func (s *site) killRelayHost(h *lab.Host) func(*os.Process) {
	return func(*os.Process) {
		lab.MustRun(s.t, h, "for pid in $(pgrep --exact relay-host); do kill -KILL $pid; done; true")
	}
}

// cutPower takes the power from a host, and gives it back.
func (s *site) cutPower(h *lab.Host) func(*os.Process) {
	return func(*os.Process) {
		if err := h.Kill(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if err := h.Start(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestKilledOnce disturbs the first apply to bare hosts in the middle, and
// holds that the next one ends where an undisturbed apply to other hosts does.
func TestKilledOnce(t *testing.T) {
	labs.take(t)
	var undisturbed endState
	ok := t.Run("undisturbed", func(t *testing.T) { undisturbed = appliedSite(t).endState() })
	if !ok {
		return
	}
	for _, way := range []struct {
		name string
		blow func(s *site) blow
	}{{"relayctl killed while a package is installed", func(s *site) blow {
		return blow{line: "package caddy: installing", delay: 300 * time.Millisecond, fall: s.killRelayctl}
	}}, {"the proxy host without power while a package is installed", func(s *site) blow {
		return blow{line: "package caddy: installing", delay: 300 * time.Millisecond, fall: s.cutPower(s.Edge)}
	}}} {
		t.Run(way.name, func(t *testing.T) {
			s := newSite(t)
			if r := s.struck(way.blow(s)); r.code == 0 || strings.Contains(r.out, "package caddy: installed") {
				t.Fatalf("not disturbed in the middle of it: exit code %d", r.code)
			}
			s.apply()
			s.mustBeDone()
			s.mustEqual(undisturbed, s.endState())
			s.mustAnswer(s.client(), s.key("laptop"), "stub")
		})
	}
}

// TestKills goes back and forth between forms of a stack, and each time has
// relayctl, a relay-host or a whole host end at a random moment on the way.
// RELAYCTL_KILLS is how many of each (3), RELAYCTL_SEED repeats what was seen.
func TestKills(t *testing.T) {
	seed, times := fromEnv(t, "RELAYCTL_SEED", uint64(time.Now().UnixNano())), int(fromEnv(t, "RELAYCTL_KILLS", 3))
	t.Logf("RELAYCTL_SEED=%d", seed)
	k := &killing{site: appliedSite(t), random: rand.New(rand.NewPCG(seed, 0))}
	k.learn()
	kinds := make([]int, 0, 3*times)
	for kind := range 3 {
		for range times {
			kinds = append(kinds, kind)
		}
	}
	k.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for round, kind := range kinds {
		name, fall := k.pick(kind)
		k.step(fmt.Sprintf("%d %s", round+1, name), func() { k.round(round%len(k.forms), fall) })
	}
	t.Logf("%d of %d ended before they were done", k.fell, len(kinds))
	if k.fell == 0 {
		t.Error("no blow ended anything: the test shows nothing")
	}
}

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

// killing is a site that is changed from form to form of its stack.
type killing struct {
	*site
	random *rand.Rand
	client *http.Client
	laptop string
	forms  []stackForm
	fell   int
}

// stackForm is a stack file, with what is known of an undisturbed apply that
// comes from the form before.
type stackForm struct {
	file  string
	lines int // printed after the plan
	left  endState
}

// learn begins with a site to which the first form was applied, and goes round
// undisturbed.
func (k *killing) learn() {
	k.t.Helper()
	phone := "api_key \"phone\" {\n  models = [\"stub\"]\n}\n"
	changed := strings.NewReplacer("concurrency = 8", "concurrency = 9", `tls "internal" {}`, "tls \"internal\" {}\n\n  relay {\n    queue_timeout = \"20s\"\n  }")
	first := k.stack()
	k.laptop, k.client = k.key("laptop"), k.site.client()
	k.forms = []stackForm{
		{file: changed.Replace(first) + phone},
		{file: k.stackOf(k.proxy(), k.worker(k.Workers[0]), "api_key \"laptop\" {}\n")},
		{file: first},
	}
	for i := range k.forms {
		k.writeStack(k.forms[i].file)
		_, events, _ := strings.Cut(k.apply(), "to change, ")
		events, _, _ = strings.Cut(events, "\n\nApplied to")
		k.forms[i].lines = strings.Count(events, "\n")
		k.mustBeDone()
		k.forms[i].left = k.endState()
	}
}

// pick chooses what ends, and where.
func (k *killing) pick(kind int) (name string, fall func(*os.Process)) {
	hosts := k.hosts()
	h := hosts[k.random.IntN(len(hosts))]
	switch kind {
	case 0:
		return "relayctl killed", func(p *os.Process) { k.killRelayctl(p) }
	case 1:
		return "relay-host killed on " + h.Name, func(p *os.Process) { k.killRelayHost(h)(p) }
	}
	return h.Name + " without power", func(p *os.Process) { k.cutPower(h)(p) }
}

// round brings the hosts to a form, first disturbed and then not.
func (k *killing) round(form int, fall func(*os.Process)) {
	to := k.forms[form]
	k.writeStack(to.file)
	b := blow{place: k.random.IntN(to.lines), delay: time.Duration(k.random.IntN(500)) * time.Millisecond, fall: fall}
	k.t.Logf("after line %d of %d and %v", b.place, to.lines, b.delay)
	if r := k.struck(b); r.code != 0 {
		k.fell++
	} else {
		k.mustBeDone() // what says it went well has to be true
	}
	k.finish(to)
}

// finish applies once more, undisturbed, and holds that nothing shows of what
// came before.
func (k *killing) finish(to stackForm) {
	k.t.Helper()
	k.apply()
	k.mustBeDone()
	k.mustEqual(to.left, k.endState())
	if k.key("laptop") != k.laptop {
		k.t.Error("a good key was made anew")
	}
	k.mustAnswer(k.client, k.laptop, "stub")
	if strings.Contains(to.file, "phone") {
		k.mustAnswer(k.client, k.key("phone"), "stub")
	}
}
