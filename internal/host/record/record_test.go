package record_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

func fileID(name string) plan.ID { return plan.ID{Kind: plan.KindFile, Name: name} }

// story writes a journal as applies would.
type story struct {
	t      *testing.T
	folder string
	*record.Journal
	number int
	stands map[plan.ID]string // content by thing; empty: it does not stand
}

func begin(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, folder: t.TempDir(), stands: map[plan.ID]string{}}
	s.open()
	return s
}

func (s *story) open() {
	s.t.Helper()
	var err error
	if s.Journal, err = record.Read(s.folder); err != nil {
		s.t.Fatal(err)
	}
	s.must(s.Open())
	s.t.Cleanup(func() { s.Close() })
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) apply() {
	s.number = s.Next()
	s.must(s.Begin(record.Apply{Number: s.number, Stack: "home", Version: "0.4.0", Operator: "ops@desk", Command: "apply", PID: 7}))
}

func (s *story) end() {
	s.must(s.End(record.End{Past: &plan.Past{Number: s.number, Stack: "home", State: plan.PastDone}}))
}

func (s *story) fact(id plan.ID) plan.Fact {
	fact := plan.Fact{ID: id}
	if text := s.stands[id]; text != "" {
		fact.Exists, fact.Have = true, map[string]string{plan.AttrContent: text}
	}
	return fact
}

// starts begins a change to another content; none removes the thing.
func (s *story) starts(id plan.ID, content string) {
	c := record.Change{ID: id, Action: plan.Update, Before: s.fact(id), Replaces: true}
	if c.Before.Exists {
		c.Kept = fmt.Sprintf("/kept/%d%s", s.number, id.Name)
	}
	if content == "" {
		c.Action = plan.Remove
	} else {
		c.As = &plan.Resource{ID: id, Want: map[string]plan.Value{plan.AttrContent: plan.Known(content)}}
	}
	s.must(s.Change(c))
}

// ends ends the change that was begun last for a thing.
func (s *story) ends(id plan.ID, content string) {
	same := s.stands[id] == content
	s.stands[id] = content
	c := record.Changed{ID: id, Left: s.fact(id), Same: same}
	if content != "" {
		c.Entry = &plan.Applied{ID: id, Have: c.Left.Have, Made: true, Number: s.number}
	}
	s.must(s.Changed(c))
}

func (s *story) put(id plan.ID, content string) {
	s.starts(id, content)
	s.ends(id, content)
}

// tells is all that a record says, for comparing.
type tells struct {
	Manifest *plan.Manifest
	Past     []plan.Past
	Pending  []record.Change
	Owed     map[string][]plan.ID
	Next     int
	Begun    record.Apply
	Formers  map[int][]plan.Former
}

var units = []string{"relay.service", "caddy.service"}

func tell(t *testing.T, j *record.Journal, oldest int) tells {
	t.Helper()
	all := tells{Manifest: j.Manifest(), Past: j.Past(), Pending: j.Pending(), Next: j.Next(), Owed: map[string][]plan.ID{}, Formers: map[int][]plan.Former{}}
	all.Begun, _ = j.Begun()
	for _, unit := range units {
		all.Owed[unit] = j.Owed(unit)
	}
	for to := oldest; to < all.Next; to++ {
		formers, err := j.Formers(to)
		if err != nil {
			t.Fatal(err)
		}
		all.Formers[to] = formers
	}
	return all
}

func TestManifestIsTheFold(t *testing.T) {
	s := begin(t)
	if s.Manifest() != nil {
		t.Fatal("a manifest of nothing")
	}
	s.apply()
	if begun, ok := s.Begun(); !ok || begun.Number != 1 || s.Manifest() != nil {
		t.Fatalf("begun %v, %v; manifest %v", begun, ok, s.Manifest())
	}
	s.put(fileID("/a"), "one")
	s.put(fileID("/b"), "two")
	s.put(fileID("/a"), "")
	s.end()
	m := s.Manifest()
	if len(m.Resources) != 1 || m.Resources[0].ID != fileID("/b") || m.Stack != "home" || m.Number != 1 || m.Operator != "ops@desk" {
		t.Errorf("manifest %+v", m)
	}
	if _, running := s.Begun(); running || s.Next() != 2 || len(s.Past()) != 1 {
		t.Errorf("runs %v, next %d, past %v", running, s.Next(), s.Past())
	}
}

// A change without an end is what was being made; the apply was cut off in it.
func TestCutOff(t *testing.T) {
	s := begin(t)
	s.apply()
	s.put(fileID("/a"), "one")
	s.starts(fileID("/b"), "two")
	s.open() // the host lost its power
	if pending := s.Pending(); len(pending) != 1 || pending[0].ID != fileID("/b") {
		t.Fatalf("pending %v", pending)
	}
	past, ok := s.CutOff()
	if !ok || past.State != plan.PastCutOff || past.At == nil || past.At.ID != fileID("/b") || past.Steps != 2 {
		t.Errorf("cut off %+v, %v", past, ok)
	}
	s.must(s.Changed(record.Changed{ID: fileID("/b"), Settled: true}))
	s.must(s.CloseCutOff())
	if steps := s.Steps(1); len(steps) != 2 || !steps[1].Ended.IsZero() {
		t.Errorf("steps %v", steps)
	}
	if s.Next() != 2 || len(s.Pending()) > 0 {
		t.Errorf("next %d, pending %v", s.Next(), s.Pending())
	}
}

// An apply that does nothing at all leaves nothing on a host that had nothing.
func TestGiveUp(t *testing.T) {
	s := begin(t)
	s.apply()
	s.must(s.GiveUp())
	if entries, err := os.ReadDir(s.folder); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	s.open()
	s.apply()
	s.put(fileID("/a"), "one")
	s.end()
	s.apply()
	s.must(s.GiveUp())
	if s.Next() != 2 {
		t.Errorf("the next apply is %d", s.Next())
	}
}

// What a unit has not loaded is owed until it is seen to run with it.
func TestOwed(t *testing.T) {
	s := begin(t)
	s.apply()
	s.put(fileID("/a"), "one")
	s.must(s.Load(record.Loaded{Unit: "relay.service", Invocation: "x"}))
	s.put(fileID("/b"), "two")
	s.starts(fileID("/c"), "three")
	s.open()
	if diff := cmp.Diff([]plan.ID{fileID("/b"), fileID("/c")}, s.Owed("relay.service")); diff != "" {
		t.Error(diff)
	}
	s.ends(fileID("/c"), "") // it never came
	if diff := cmp.Diff([]plan.ID{fileID("/b")}, s.Owed("relay.service")); diff != "" {
		t.Error(diff)
	}
	s.must(s.Load(record.Loaded{Unit: "relay.service"}))
	if owed := s.Owed("relay.service"); len(owed) > 0 {
		t.Errorf("owed %v", owed)
	}
}

func TestFormers(t *testing.T) {
	s := begin(t)
	s.apply()
	s.put(fileID("/a"), "one")
	s.end()
	s.apply()
	s.put(fileID("/a"), "two")
	s.put(fileID("/b"), "new")
	s.end()
	s.apply()
	s.put(fileID("/a"), "three")
	s.put(fileID("/b"), "")
	s.end()
	formers, err := s.Formers(1)
	if err != nil || len(formers) != 2 {
		t.Fatalf("%v, %v", formers, err)
	}
	a, b := formers[0], formers[1]
	if a.Before.Have[plan.AttrContent] != "one" || a.Left.Have[plan.AttrContent] != "three" || a.Kept != "/kept/2/a" || a.Entry == nil || a.Entry.Number != 1 {
		t.Errorf("a: %+v", a)
	}
	if b.Before.Exists || b.Left.Exists || b.Entry != nil {
		t.Errorf("b: %+v", b)
	}
	if formers, err := s.Formers(3); err != nil || len(formers) > 0 {
		t.Errorf("after the last: %v, %v", formers, err)
	}
	if s.Last() != 3 || s.Oldest() != 0 {
		t.Errorf("last %d, oldest %d", s.Last(), s.Oldest())
	}
}

// write tells a long story; at each step check sees it.
func (s *story) write(random *rand.Rand, applies int, check func()) {
	ids := []plan.ID{fileID("/a"), fileID("/b"), fileID("/c"), fileID("/d")}
	for range applies {
		s.apply()
		for range random.IntN(5) {
			id := ids[random.IntN(len(ids))]
			content := []string{"", "one", "two", "three"}[random.IntN(4)]
			switch random.IntN(8) {
			case 0:
				s.must(s.Load(record.Loaded{Unit: units[random.IntN(2)], Invocation: "x"}))
			case 1:
				s.starts(id, content) // cut off
				s.open()
				s.ends(id, content)
			default:
				s.put(id, content)
			}
		}
		s.end()
		check()
	}
}

// Whatever a crash left of the last line, all before it counts, and it can be
// written on.
func TestEveryTear(t *testing.T) {
	s := begin(t)
	s.write(rand.New(rand.NewPCG(1, 1)), 6, func() {})
	whole, err := os.ReadFile(filepath.Join(s.folder, "journal.jsonl"))
	s.must(err)
	var before tells
	for n := range len(whole) + 1 {
		if n > 0 && whole[n-1] != '\n' && n < len(whole) && n%61 != 0 {
			continue // some of the places inside a line will do
		}
		torn := &story{t: t, folder: t.TempDir(), stands: map[plan.ID]string{}}
		s.must(os.WriteFile(filepath.Join(torn.folder, "journal.jsonl"), whole[:n], 0o600))
		j, err := record.Read(torn.folder)
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		now := tell(t, j, 0)
		if n > 0 && whole[n-1] != '\n' {
			if diff := cmp.Diff(before, now); diff != "" {
				t.Fatalf("after %d bytes: %s", n, diff)
			}
		}
		before = now
		torn.open()
		torn.apply()
		torn.put(fileID("/z"), "after")
		torn.end()
		again, err := record.Read(torn.folder)
		if err != nil || again.Entry(fileID("/z")) == nil {
			t.Fatalf("after %d bytes, written on: %v", n, err)
		}
	}
}

// Folding the oldest applies changes nothing but how far one can go back.
func TestCompact(t *testing.T) {
	for seed := range uint64(4) {
		s := begin(t)
		random := rand.New(rand.NewPCG(seed, 2))
		oldest := 0
		s.write(random, 35, func() {
			before := tell(t, s.Journal, oldest)
			next, err := s.Compact()
			s.must(err)
			for to := oldest; to < next; to++ {
				delete(before.Formers, to)
				if _, err := s.Formers(to); err == nil {
					t.Fatalf("seed %d: goes back to %d, before %d", seed, to, next)
				}
			}
			oldest = next
			if diff := cmp.Diff(before, tell(t, s.Journal, oldest)); diff != "" {
				t.Fatalf("seed %d, apply %d: %s", seed, s.number, diff)
			}
			s.open()
			if diff := cmp.Diff(before, tell(t, s.Journal, oldest)); diff != "" {
				t.Fatalf("seed %d, apply %d, read again: %s", seed, s.number, diff)
			}
		})
		if oldest == 0 || s.number-oldest < 20 {
			t.Errorf("seed %d: after %d applies it goes back to %d", seed, s.number, oldest)
		}
	}
}

func TestDamaged(t *testing.T) {
	s := begin(t)
	s.write(rand.New(rand.NewPCG(1, 1)), 3, func() {})
	path := filepath.Join(s.folder, "journal.jsonl")
	content, err := os.ReadFile(path)
	s.must(err)
	s.must(os.WriteFile(path, []byte(strings.Replace(string(content), `{"at"`, `{"at`, 2)), 0o600))
	if _, err := record.Read(s.folder); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("read a damaged journal: %v", err)
	}
}

func TestNewer(t *testing.T) {
	folder := t.TempDir()
	text := `{"checkpoint":{"schema":3,"next":{}}}` + "\n" + `{"other":{}}` + "\n"
	if err := os.WriteFile(filepath.Join(folder, "journal.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, err := record.Read(folder); err != nil || !j.IsNewer() {
		t.Errorf("newer %v, %v", j, err)
	}
}

// A host that was applied to before there was a journal goes on with one.
func TestBeforeTheJournal(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"schema":1,"stack":"home","version":"0.3.0","apply":4,"time":"2026-11-20T09:14:00Z","resources":[
			{"kind":"file","name":"/a","have":{"content":"one"},"made":true,"apply":2,"time":"2026-11-20T09:14:00Z"}]}`,
		"history.jsonl":              `{"apply":3,"stack":"home"}` + "\n" + `{"apply":4,"stack":"home"}` + "\n" + `{"app`,
		"intents/relay.service.json": `{"because":[{"kind":"file","name":"/a"}]}`,
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &story{t: t, folder: folder, stands: map[plan.ID]string{fileID("/a"): "one"}}
	for range 2 { // as it was, and as a journal
		s.open()
		if s.Entry(fileID("/a")) == nil || s.Next() != 5 || len(s.Past()) != 2 || s.Oldest() != 4 || len(s.Owed("relay.service")) != 1 {
			t.Fatalf("manifest %+v, next %d, past %v, oldest %d", s.Manifest(), s.Next(), s.Past(), s.Oldest())
		}
	}
	s.apply()
	s.put(fileID("/a"), "two")
	s.end()
	if formers, err := s.Formers(4); err != nil || len(formers) != 1 || formers[0].Before.Have[plan.AttrContent] != "one" {
		t.Errorf("formers %v, %v", formers, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("left %v, %v", entries, err)
	}
	word, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil || !strings.Contains(string(word), `"schema":2`) {
		t.Errorf("an older relayctl is told %q, %v", word, err)
	}
}

// Who looks learns whether what has begun runs or was cut off.
func TestLook(t *testing.T) {
	s := begin(t)
	held, err := record.TryLock(s.folder)
	if err != nil || held == nil {
		t.Fatalf("lock %v, %v", held, err)
	}
	s.apply()
	if second, err := record.TryLock(s.folder); second != nil || err != nil {
		t.Errorf("a second lock: %v, %v", second, err)
	}
	if j, held, err := record.Look(s.folder); err != nil || !held || j.Next() != 2 {
		t.Errorf("held %v, %v", held, err)
	}
	s.must(held.Release())
	if j, held, err := record.Look(s.folder); err != nil || held || j.Next() != 2 {
		t.Errorf("released: held %v, %v", held, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"checkpoint":{"schema":2}}` + "\n" + `{"begin":{"apply":1}}` + "\n" + `{"change":{"kind":"file","name":"/a","action":"create","before":{}}}` + "\n"))
	f.Add([]byte(`{"changed":{"kind":"file","name":"/a"}}` + "\n" + `{"end":{}}` + "\n" + `{"hosts":{}}` + "\n" + `{"loaded":{}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "journal.jsonl"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := record.Read(folder)
		if err != nil {
			return
		}
		before := time.Now()
		if err := j.Open(); err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if err := j.Begin(record.Apply{Number: j.Next()}); err != nil {
			t.Fatal(err)
		}
		if err := j.Change(record.Change{ID: fileID("/z"), Action: plan.Create}); err != nil {
			t.Fatal(err)
		}
		again, err := record.Read(folder)
		if err != nil {
			t.Fatalf("can't be read again: %v", err)
		}
		pending := again.Pending()
		if n := len(pending); n == 0 || pending[n-1].ID != fileID("/z") || time.Since(before) < 0 {
			t.Errorf("pending %v", pending)
		}
	})
}
