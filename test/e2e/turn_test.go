package e2e_test

import (
	"cmp"
	"flag"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// longest are the tests that take the longest, in that order. They get their
// turns first, so that none of them runs on when all others have ended. A test
// that is not here comes after these.
var longest = []string{
	"TestLimits", "TestNetwork", "TestOverride", "TestRepair", "TestRefuse", "TestHistory", "TestKills", "TestRotateSecret", "TestSSHDFails",
	"TestLeave", "TestTwoRoles", "TestSudoPassword", "TestUploadThatStalls", "TestChat", "TestReboot", "TestFormerFilesComeBack", "TestTrouble",
	"TestOverrideByAPI", "TestGuideRelayBehindNginx", "TestLocalUsers", "TestColdEngine", "TestWay",
}

// turns lets some tests at a time have a lab: as many as -parallel says. Labs
// mostly wait, so more of them than processors run side by side; but a host
// that waits for its turn at a processor looks to a test like one that hangs.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting []turn
	having  map[string]bool // the tests whose turn it is
}

// turn is a test that waits for its turn.
type turn struct {
	test string
	come chan struct{}
}

// newTurns takes the number from -parallel, and from then on lets package
// testing run all tests at once: it would choose without regard to their length.
func newTurns() (*turns, error) {
	atOnce, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		return nil, err
	}
	return &turns{free: atOnce, having: map[string]bool{}}, flag.Set("test.parallel", "1000")
}

// assembly is how long nobody's turn comes after a test began to wait: tests
// that may run side by side all begin to wait at the same moment.
const assembly = 200 * time.Millisecond

// take makes a test one of those that run side by side, and waits for its turn,
// which lasts until all that the test left to clean up is done. In a test whose
// turn it is, each subtest has a lab in its turn.
func (all *turns) take(t *testing.T) {
	t.Helper()
	if all.has(t.Name()) {
		return
	}
	t.Parallel()
	began := time.Now()
	own := turn{t.Name(), make(chan struct{})}
	all.mu.Lock()
	all.waiting = append(all.waiting, own)
	all.mu.Unlock()
	time.AfterFunc(assembly, all.call)
	<-own.come
	t.Cleanup(func() { all.giveBack(own) })
	t.Logf("its turn came after %v", time.Since(began).Round(time.Second))
}

// has reports whether it is the turn of the test that a subtest is of.
func (all *turns) has(subtest string) bool {
	test, _, _ := strings.Cut(subtest, "/")
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.having[test]
}

func (all *turns) giveBack(own turn) {
	all.mu.Lock()
	delete(all.having, own.test)
	all.free++
	all.mu.Unlock()
	all.call()
}

// call calls whoever's turn it is.
func (all *turns) call() {
	all.mu.Lock()
	defer all.mu.Unlock()
	slices.SortStableFunc(all.waiting, func(a, b turn) int { return cmp.Compare(a.place(), b.place()) })
	for all.free > 0 && len(all.waiting) > 0 {
		all.having[all.waiting[0].test] = true
		close(all.waiting[0].come)
		all.waiting = all.waiting[1:]
		all.free--
	}
}

// place is where a test stands among the longest.
func (one turn) place() int {
	test, _, _ := strings.Cut(one.test, "/")
	if at := slices.Index(longest, test); at >= 0 {
		return at
	}
	return len(longest)
}
